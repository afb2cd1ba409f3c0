// How the oracle program is called. A failing case prints the line that repeats it alone.
import { nativeProgram, runProgram } from './native.ts';

export const FAMILIES = [
  'alu',
  'shift',
  'muldiv',
  'bit',
  'move',
  'stack',
  'string',
  'flow',
  'x87',
  'transcend',
  'mmx',
  'sse',
  'ssefp',
  'state',
];

export const oracleProgram = () => nativeProgram('oracle', /^oracle.*\.cc$/);

export function runOracle(family: string, seed: number, cases: number): string {
  const args = ['--family', family, '--seed', String(seed), '--count', String(cases)];
  return runProgram(oracleProgram(), ...args);
}

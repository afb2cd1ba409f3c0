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

/** The families of which the engine translates something. */
export const TRANSLATED = [
  'alu',
  'shift',
  'muldiv',
  'bit',
  'move',
  'stack',
  'flow',
  'sse',
  'ssefp',
];

export const oracleProgram = () => nativeProgram('oracle', /^oracle.*\.cc$/);

export function runOracle(
  family: string,
  seed: number,
  cases: number,
  ...options: readonly string[]
): string {
  const args = ['--family', family, '--seed', String(seed), '--count', String(cases), ...options];
  return runProgram(oracleProgram(), ...args);
}

// The small programs of wires/: compiled when first wanted, and begun.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { compile } from '../harness/compile.ts';

export const WIRES = ['relay', 'serial', 'capture', 'power'] as const;
export type Wire = (typeof WIRES)[number];

/** The program, compiled. */
export function wire(name: Wire): string {
  const source = `test/twin/wires/${name}.c`;
  return compile({
    name: `wire-${name}`,
    inputs: [source],
    commands: (out) => [
      ['gcc', '-O2', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-o', `${out}/${name}`, source],
    ],
    result: name,
  });
}

export interface Started {
  readonly process: ChildProcess;
  /** What it said first. */
  readonly words: string;
}

/** Throws if it ends without a word. */
export async function startWire(name: Wire, args: readonly string[] = []): Promise<Started> {
  const process = spawn(wire(name), args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const words = once(process.stdout as Readable, 'data').then(([bytes]) => String(bytes));
  const end = once(process, 'exit').then(([code]) => {
    throw new Error(`${name} ended with ${code}`);
  });
  return { process, words: await Promise.race([words, end]) };
}

/** To its end. */
export async function runWire(name: Wire, args: readonly string[]): Promise<void> {
  const process = spawn(wire(name), args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = await once(process, 'exit');
  if (code !== 0) throw new Error(`${name} ${args.join(' ')} ended with ${code}`);
}

// The serial cable between the boards: two pseudo-terminals joined by wires/serial.c.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { firstWords, type Side, wire } from './network.ts';

const ORDER = { whole: '=', cut: '|', 'a-to-b': '>', 'b-to-a': '<' } as const;
export type SerialState = keyof typeof ORDER;

export class SerialCable {
  readonly paths: Readonly<Record<Side, string>>;
  private readonly process: ChildProcess;

  private constructor(process: ChildProcess, paths: Record<Side, string>) {
    this.process = process;
    this.paths = paths;
  }

  static async make(): Promise<SerialCable> {
    const process = spawn(wire('serial'), [], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [a = '', b = ''] = (await firstWords(process)).split('\n');
    return new SerialCable(process, { a, b });
  }

  /** Returns when it is so. */
  async set(state: SerialState): Promise<void> {
    const answer = once(this.process.stdout as Readable, 'data');
    this.process.stdin?.write(ORDER[state]);
    await answer;
  }

  close(): void {
    this.process.kill('SIGKILL');
  }
}

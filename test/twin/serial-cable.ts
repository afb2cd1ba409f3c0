// The serial cable between the boards: two pseudo-terminals joined by wires/serial.c.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import type { Side } from './network.ts';
import { startWire } from './wire.ts';

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
    const { process, words } = await startWire('serial');
    const [a = '', b = ''] = words.split('\n');
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

// What passed the cables, in the order in which the kernel saw it and with one clock: wires/capture.c
// started, stopped and read.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { startWire } from './wire.ts';

const HEAD_BYTES = 16;
const WHOLE = 65_535;

export interface Captured {
  /** The port it came in at. */
  readonly port: string;
  /** Since 1970. */
  readonly timeUs: number;
  /** Of the whole frame, of which `frame` may be the beginning. */
  readonly bytes: number;
  readonly frame: Buffer;
}

export interface CaptureOptions {
  readonly file: string;
  readonly ports: readonly string[];
  /** Only frames from this address. */
  readonly source?: string;
  readonly bytesMax?: number;
}

export class Capture {
  private readonly process: ChildProcess;
  private readonly options: CaptureOptions;

  private constructor(process: ChildProcess, options: CaptureOptions) {
    this.process = process;
    this.options = options;
  }

  /** Returns when it captures. */
  static async start(options: CaptureOptions): Promise<Capture> {
    const { file, ports, source = '-', bytesMax = WHOLE } = options;
    const args = [file, String(bytesMax), source, ...ports];
    return new Capture((await startWire('capture', args)).process, options);
  }

  /** Everything so far. Throws if the kernel had to leave frames out. */
  async read(): Promise<Captured[]> {
    const answer = once(this.process.stdout as Readable, 'data');
    this.process.stdin?.write('\n');
    const words = String((await answer)[0]).trim();
    if (!words.endsWith(' 0 lost')) throw new Error(`the capture is not complete: ${words}`);
    return this.parse(readFileSync(this.options.file));
  }

  private parse(bytes: Buffer): Captured[] {
    const found: Captured[] = [];
    for (let at = 0; at + HEAD_BYTES <= bytes.length; ) {
      const kept = bytes.readUInt16LE(at + 2);
      // It goes on writing: the last record may be on its way to the file.
      if (at + HEAD_BYTES + kept > bytes.length) break;
      found.push({
        port: this.options.ports[bytes.readUInt16LE(at)] ?? '?',
        bytes: bytes.readUInt32LE(at + 4),
        timeUs: Number(bytes.readBigUInt64LE(at + 8) / 1000n),
        frame: bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + kept),
      });
      at += HEAD_BYTES + kept;
    }
    return found;
  }

  close(): void {
    this.process.kill('SIGKILL');
  }
}

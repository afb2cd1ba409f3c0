// Counting and hashing what leaves the machine, the same way on both boards. Output number n of a
// log is the n-th thing the world could have seen; a marker entry names the last one and a CRC-32
// over everything since the previous marker, so a backup that made other bytes knows at once.
import { crc32 } from 'node:zlib';
import type { Output, OutputSink } from '../devices/contracts.ts';

/** What the world can see; a disk request stays inside the board. */
export type ExternalOutput = Exclude<Output, { kind: 'disk-request' }>;

/** The machine wants its sink when it is built, before there is anyone to listen. */
export class OutputTap {
  target: OutputSink = () => {
    throw new Error('the machine made output before anyone listened');
  };
  readonly sink: OutputSink = (output) => this.target(output);
}

export interface OutputCounterState {
  readonly sequence: bigint;
  readonly hash: number;
  readonly unmarked: number;
}

export class OutputCounter {
  /** Number of the last output made; the first is 1. */
  sequence = 0n;
  /** CRC-32 over the outputs since the last marker. */
  hash = 0;
  /** How many those are. */
  unmarked = 0;

  add(output: ExternalOutput): void {
    this.sequence += 1n;
    this.unmarked++;
    this.hash = crc32(headOf(output), this.hash);
    if (output.kind === 'net-tx') this.hash = crc32(output.frame, this.hash);
  }

  /** Everything up to now is covered by a marker. */
  mark(): void {
    this.hash = 0;
    this.unmarked = 0;
  }

  state(): OutputCounterState {
    return { sequence: this.sequence, hash: this.hash, unmarked: this.unmarked };
  }

  restore({ sequence, hash, unmarked }: OutputCounterState): void {
    this.sequence = sequence;
    this.hash = hash;
    this.unmarked = unmarked;
  }
}

export function isExternal(output: Output): output is ExternalOutput {
  return output.kind !== 'disk-request';
}

/** A frame or a modem line must not wait for the end of the slice; console text may. */
export function isPrompt(output: ExternalOutput): boolean {
  return output.kind !== 'serial-tx';
}

function headOf(output: ExternalOutput): string {
  switch (output.kind) {
    case 'net-tx':
      return `n${output.nic}:${output.frame.length}:`;
    case 'serial-tx':
      return `s${output.port}:${output.byte}`;
    case 'serial-line':
      return `l${[
        output.port,
        output.baud,
        output.dataBits,
        output.parity,
        output.stopBits,
        output.sendBreak,
        output.dtr,
        output.rts,
      ].join()}`;
    case 'debug-exit':
      return `d${output.code}`;
    case 'power':
      return `p${output.event}`;
  }
}

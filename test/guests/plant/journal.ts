// Reads the plant's journal from the image of a disk: record N lies at slot N modulo the number of
// slots, and what it must hold follows from N alone (plant.c, make_record). So the newest record is
// known, and everything behind it up to the length of the ring must be there, unaltered.
import { readFileSync } from 'node:fs';
import { Fnv64 } from './fnv.ts';

const RECORD_BYTES = 512;
const PAYLOAD_AT = 16;
const SUM_AT = RECORD_BYTES - 8;
const MAGIC = Buffer.from('TWINJRNL');
const MASK = (1n << 64n) - 1n;

export interface Journal {
  /** Number of the newest whole record, 0: none. */
  readonly last: number;
  /** Whole records at their places without a gap up to the newest. */
  readonly whole: number;
  /** What is wrong, a sentence each. */
  readonly faults: readonly string[];
}

export function readJournal(path: string): Journal {
  return checkJournal(readFileSync(path));
}

export function checkJournal(image: Buffer): Journal {
  const slots = Math.floor(image.length / RECORD_BYTES);
  const at = (slot: number) => image.subarray(slot * RECORD_BYTES, (slot + 1) * RECORD_BYTES);
  let last = 0;
  for (let slot = 0; slot < slots; slot++) {
    const seq = seqOf(at(slot));
    if (seq > last && seq % slots === slot && isWhole(at(slot), seq)) last = seq;
  }
  const faults: string[] = [];
  const oldest = Math.max(1, last - slots + 1);
  for (let seq = oldest; seq <= last; seq++) {
    const found = seqOf(at(seq % slots));
    if (found !== seq) faults.push(`record ${seq} is missing, ${found} lies in its place`);
    else if (!isWhole(at(seq % slots), seq)) faults.push(`record ${seq} is altered`);
  }
  return { last, whole: last === 0 ? 0 : last - oldest + 1 - faults.length, faults };
}

/** What record N must be; the twin of make_record in plant.c. */
export function makeRecord(seq: number): Buffer {
  const record = Buffer.alloc(RECORD_BYTES);
  MAGIC.copy(record);
  record.writeBigUInt64LE(BigInt(seq), 8);
  const start = (BigInt(seq) * 0x9e3779b97f4a7c15n + 1n) & MASK;
  let [high, low] = [Number(start >> 32n), Number(start & 0xffffffffn)];
  for (let i = PAYLOAD_AT; i < SUM_AT; i++) {
    high ^= (high << 13) | (low >>> 19);
    low ^= low << 13;
    low ^= (low >>> 7) | (high << 25);
    high ^= high >>> 7;
    high ^= (high << 17) | (low >>> 15);
    low ^= low << 17;
    record[i] = low & 0xff;
  }
  const sum = new Fnv64().add(record.subarray(0, SUM_AT));
  record.writeUInt32LE(sum.low, SUM_AT);
  record.writeUInt32LE(sum.high, SUM_AT + 4);
  return record;
}

function seqOf(record: Buffer): number {
  if (!record.subarray(0, MAGIC.length).equals(MAGIC)) return 0;
  return Number(record.readBigUInt64LE(8));
}

function isWhole(record: Buffer, seq: number): boolean {
  return record.equals(makeRecord(seq));
}

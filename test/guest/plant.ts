// Harm done to a recording on purpose, with every checksum made right again, as an attacker or a defect
// of ours would leave it.
import { readFileSync, writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { CHECKPOINT_MAGIC, CHECKPOINT_VERSION } from '../../firmware/lockstep/checkpoint.ts';
import { ChunkReader, encodeChunk, encodeMagic } from '../../firmware/lockstep/chunks.ts';
import type { Entry } from '../../firmware/lockstep/entry.ts';
import { LogReader, LogWriter, logSummary } from '../../firmware/lockstep/log-file.ts';

const PAGES = 2;
const DISK = 5;
const END = 4;

export function entriesOf(log: string): Entry[] {
  return new LogReader().push(readFileSync(log));
}

/** The log with entry `index` changed. */
export function alterEntry(
  from: string,
  to: string,
  index: number,
  change: (entry: Entry) => Entry,
): void {
  const reader = new LogReader();
  const entries = reader.push(readFileSync(from));
  const writer = new LogWriter(reader.identity ?? {});
  for (const [at, entry] of entries.entries()) writer.append(at === index ? change(entry) : entry);
  writeFileSync(to, Buffer.concat([writer.take(), logSummary(reader.summary ?? {})]));
}

/** The checkpoint with one bit of the guest's memory flipped: of a byte that is not zero, past `address`. */
export function flipMemoryBit(from: string, to: string, address: number, bit: number): void {
  const reader = new ChunkReader(CHECKPOINT_MAGIC, CHECKPOINT_VERSION);
  reader.push(readFileSync(from));
  const parts: Uint8Array[] = [encodeMagic(CHECKPOINT_MAGIC, CHECKPOINT_VERSION)];
  let sum = 0;
  let isDone = false;
  for (let chunk = reader.next(); chunk !== undefined; chunk = reader.next()) {
    const payload = Buffer.from(chunk.payload);
    if (chunk.kind === PAGES && !isDone) {
      const base = payload.readUInt32LE(0) * 4096;
      const at = payload.findIndex((byte, n) => n >= 8 && byte !== 0 && base + n - 8 >= address);
      isDone = at >= 0;
      if (isDone) payload[at] = (payload[at] as number) ^ (1 << bit);
    }
    if (chunk.kind === PAGES || chunk.kind === DISK) sum = crc32(payload, sum);
    if (chunk.kind === END) payload.writeUInt32LE(sum, 4);
    parts.push(encodeChunk(chunk.kind, payload));
  }
  if (!isDone) throw new Error(`the guest uses nothing past ${address}`);
  writeFileSync(to, Buffer.concat(parts));
}

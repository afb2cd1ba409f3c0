// The log file: whatever a killed recorder leaves is read up to its last whole chunk.

import type { Entry } from '../../firmware/lockstep/entry.ts';
import { LogReader, LogWriter } from '../../firmware/lockstep/log-file.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('lockstep/log-file');

const IDENTITY = { engine: 'soft', version: 1, kernel: new Uint8Array([1, 2]) };

function someLog(count: number): { entries: Entry[]; file: Buffer } {
  const random = seededRandom('log');
  const writer = new LogWriter(IDENTITY);
  const parts: Uint8Array[] = [];
  const entries = Array.from({ length: count }, (_, n): Entry => {
    const entry: Entry = {
      position: BigInt(n * 100),
      body: { kind: 'net-rx', nic: 0, frame: random.bytes(random.int(300)) },
    };
    writer.append(entry);
    if (random.chance(0.2)) parts.push(writer.take());
    return entry;
  });
  parts.push(writer.take());
  assert.is(writer.take().length, 0);
  return { entries, file: Buffer.concat(parts) };
}

test('what was appended is read, in any pieces', () => {
  const random = seededRandom('pieces');
  const { entries, file } = someLog(500);
  const reader = new LogReader();
  const read: Entry[] = [];
  for (let at = 0; at < file.length; ) {
    const end = at + 1 + random.int(3000);
    read.push(...reader.push(file.subarray(at, end)));
    at = end;
  }
  assert.equal(read, entries);
  assert.equal(reader.identity, IDENTITY);
  assert.is(reader.damage, undefined);
});

test('cut anywhere: the entries before the cut, and a word about the damage', () => {
  const random = seededRandom('cut');
  const { entries, file } = someLog(100);
  for (let round = 0; round < 300; round++) {
    const length = random.int(file.length);
    const reader = new LogReader();
    const read = reader.push(file.subarray(0, length));
    assert.equal(read, entries.slice(0, read.length));
    if (reader.damage !== undefined) assert.match(reader.damage, `cut off at byte ${length}`);
  }
});

test('altered: the entries before, and where it is damaged', () => {
  const { entries, file } = someLog(100);
  const bytes = Buffer.from(file);
  bytes[file.length - 5] = (bytes[file.length - 5] as number) ^ 1;
  const reader = new LogReader();
  const read = reader.push(bytes);
  assert.ok(read.length < entries.length && read.length > 0);
  assert.match(reader.damage ?? '', 'damaged at byte');
});

test('a foreign file is refused in words', () => {
  assert.throws(() => new LogReader().push(Buffer.from('not a log at all')), /not a log/);
});

test.run();

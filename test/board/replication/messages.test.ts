// Every message there and back, bytes as MESSAGES.md draws them, and noise that must not throw.
import {
  type BulkMessage,
  decodeBulkMessage,
  encodeBulkMessage,
  PAGE_BYTES,
} from '../../../firmware/board/replication/bulk-messages.ts';
import {
  decodeLogMessage,
  encodeLogMessage,
  type LogMessage,
} from '../../../firmware/board/replication/messages.ts';
import { PagePacker } from '../../../firmware/board/replication/page-packer.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';

const test = suite('board/replication/messages');
const random = seededRandom('messages');

const LOG: readonly LogMessage[] = [
  { type: 'statement', frame: random.bytes(64) },
  {
    ...{ type: 'begin', stream: 0x01020304, generation: 5, boot: 6, session: 7 },
    position: 0x1122334455667788n,
  },
  { type: 'log', bytes: random.bytes(1000) },
  { type: 'log', bytes: new Uint8Array(0) },
  { type: 'mark', mark: 'grant', generation: 1, boot: 2, session: 3 },
  { type: 'mark', mark: 'leave', generation: 4, boot: 0xffffffff, session: 6 },
  { type: 'released', sequence: 2n ** 64n - 1n },
  {
    ...{ type: 'ack', stream: 1, generation: 2, session: 3, through: 2 ** 40, applied: 77 },
    ...{ position: 12n, virtualNs: 34n },
  },
  {
    ...{ type: 'want', boot: 1, session: 2, bases: [2 ** 48, 7], forgotten: 'another disk' },
    facts: random.bytes(300),
  },
  { type: 'base', step: 'here', session: 3, base: 2 ** 48 },
  { type: 'refuse', session: 9, reasons: [] },
  { type: 'refuse', session: 9, reasons: ['größer', 'andere Platte', ''] },
  { type: 'synced', stream: 3, session: 4 },
  { type: 'drop', session: 4, reason: 'cannot keep up' },
  { type: 'about', about: Uint8Array.of(9, 8, 7) },
  { type: 'heard', heard: Uint8Array.of(8, 0) },
  { type: 'clock-ask', askedNs: 2n ** 63n },
  { type: 'clock', askedNs: 1n, receivedNs: 2n, answeredNs: 3n },
];

const BULK: readonly Exclude<BulkMessage, { type: 'pages' }>[] = [
  {
    ...{ type: 'start', sync: 1, boot: 2, session: 3, memoryBytes: 2 ** 33 },
    ...{ base: 2 ** 48, isNew: true, key: random.bytes(16) },
  },
  { type: 'ranges', disk: 1, isLast: false, ranges: [{ first: 7, count: 2 ** 28 }] },
  { type: 'ranges', disk: 0, isLast: true, ranges: [] },
  { type: 'equal', disk: 1, block: 2 ** 28 },
  { type: 'hashes', sync: 1, disk: 2, first: 3, zeros: 2 ** 28, hashes: random.bytes(48) },
  { type: 'page-hashes', sync: 1, first: 3, zeros: 2 ** 21, hashes: random.bytes(48) },
  { type: 'blocks', disk: 1, first: 9, count: 2, bytes: random.bytes(65_536 + 512) },
  { type: 'blocks', disk: 1, first: 9, count: 2 ** 28, bytes: new Uint8Array(0) },
  { type: 'state', bytes: random.bytes(500) },
  { type: 'end', sync: 1, stream: 2, pages: 3, blocks: 4 },
  {
    ...{ type: 'progress', phase: 'memory', percent: 55, round: 3, etaS: 12, kind: 'changes' },
    ...{ doneBytes: 2 ** 40, totalBytes: 2 ** 41 },
  },
  {
    ...{ type: 'progress', phase: 'disks', percent: 0, round: 0, etaS: null, kind: 'everything' },
    ...{ doneBytes: 0, totalBytes: 0 },
  },
];

test('every message comes back as it went', () => {
  for (const message of LOG) {
    assert.equal(decodeLogMessage(encodeLogMessage(message)), { ok: true, message });
  }
  for (const message of BULK) {
    assert.equal(decodeBulkMessage(encodeBulkMessage(message)), { ok: true, message });
  }
});

test('the bytes are those of MESSAGES.md', () => {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  assert.is(
    hex(encodeLogMessage(LOG[1]!)),
    '0204030201050000000600000007000000' + '8877665544332211',
  );
  assert.is(hex(encodeLogMessage(LOG[4]!)), '0400' + '010000000200000003000000');
  assert.is(
    hex(encodeLogMessage(LOG[7]!)),
    '06010000000200000003000000' +
      ['0000000000010000', '4d00000000000000', '0c00000000000000', '2200000000000000'].join(''),
  );
  assert.is(
    hex(encodeBulkMessage(BULK[10]!)),
    '4701370300' + '0c000000' + '01' + '0000000000010000' + '0000000000020000',
  );
});

test('pages are packed into runs and come out as they were', () => {
  const expected = new Map<number, Uint8Array | undefined>();
  const packer = new PagePacker();
  const messages: Uint8Array[] = [];
  const flush = () => {
    const message = packer.take();
    if (message !== undefined) messages.push(message.slice());
  };
  for (let page = 0; page < 2000; page += 1 + (random.chance(0.3) ? random.int(5) : 0)) {
    const bytes = random.chance(0.3) ? undefined : new Uint8Array(PAGE_BYTES).fill(page);
    expected.set(page, bytes);
    if (packer.add(page, bytes)) continue;
    flush();
    assert.ok(packer.add(page, bytes));
  }
  flush();
  assert.is(packer.take(), undefined);
  const found = new Map<number, Uint8Array | undefined>();
  let runs = 0;
  for (const message of messages) {
    const decoded = decodeBulkMessage(message);
    assert.ok(decoded.ok && decoded.message.type === 'pages');
    for (const { first, count, bytes } of decoded.message.runs) {
      runs++;
      for (let i = 0; i < count; i++) {
        found.set(first + i, bytes?.slice(i * PAGE_BYTES, (i + 1) * PAGE_BYTES));
      }
    }
  }
  assert.is(found.size, expected.size);
  assert.ok(
    [...expected].every(
      ([page, bytes]) =>
        Buffer.compare(found.get(page) ?? Buffer.alloc(0), bytes ?? Buffer.alloc(0)) === 0,
    ),
  );
  assert.ok(runs < expected.size, 'neighbours share a head');
});

test('what is cut, too long or senseless is refused with a reason', () => {
  assert.equal(decodeLogMessage(new Uint8Array(0)), { ok: false, reason: 'empty' });
  assert.equal(decodeLogMessage(Uint8Array.of(0xee)), { ok: false, reason: 'type' });
  assert.equal(decodeBulkMessage(Uint8Array.of(0x02)), { ok: false, reason: 'type' });
  for (const message of LOG) {
    const bytes = encodeLogMessage(message);
    const open = ['statement', 'log', 'want', 'drop', 'about', 'heard'].includes(message.type);
    const { ok } = decodeLogMessage(Uint8Array.of(...bytes, 0));
    assert.is(ok, open, message.type);
    for (let length = 1; length < Math.min(bytes.length, 60); length++) {
      const cut = decodeLogMessage(bytes.slice(0, length));
      if (!open) assert.equal(cut, { ok: false, reason: 'cut' }, `${message.type} of ${length}`);
    }
  }
  const bytes = encodeLogMessage(LOG[4]!);
  bytes[1] = 2;
  assert.equal(decodeLogMessage(bytes), { ok: false, reason: 'value' });
  const ack = encodeLogMessage(LOG[7]!);
  ack[26] = 0xff;
  assert.equal(decodeLogMessage(ack), { ok: false, reason: 'value' });
  for (const [count, length] of [
    [0, 0],
    [1, 65_537],
    [1, 100],
    [3, 2 * 65_536],
  ] as const) {
    const blocks = encodeBulkMessage({
      ...{ type: 'blocks', disk: 1, first: 9, count },
      bytes: new Uint8Array(length),
    });
    assert.equal(decodeBulkMessage(blocks), { ok: false, reason: 'value' }, `${count}, ${length}`);
  }
});

test('noise and damage never throw', () => {
  const whole = [...LOG.map(encodeLogMessage), ...BULK.map(encodeBulkMessage)];
  for (let times = 0; times < 20_000; times++) {
    const bytes = random.chance(0.5)
      ? random.bytes(random.int(80))
      : damaged(random.pick(whole).slice(0, 300));
    for (const decoded of [decodeLogMessage(bytes), decodeBulkMessage(bytes)]) {
      if (!decoded.ok)
        assert.ok(['empty', 'type', 'cut', 'long', 'value'].includes(decoded.reason));
    }
  }
});

function damaged(bytes: Uint8Array): Uint8Array {
  for (let times = random.int(4); times >= 0; times--)
    bytes[random.int(bytes.length)] = random.u32();
  return bytes.subarray(0, 1 + random.int(bytes.length));
}

test.run();

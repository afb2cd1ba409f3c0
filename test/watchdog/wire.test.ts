// COBS, statement, frame: golden vectors both ways, a naive second encoder, every cut, every flipped
// bit, and noise. Bytes from outside never throw, and every refusal has its counter.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { Statement } from '../../watchdog/arbiter-types.ts';
import { ROLES } from '../../watchdog/arbiter-types.ts';
import { CobsReader, cobsDecode, cobsEncode } from '../../watchdog/cobs.ts';
import { FrameReader, pathKeys, sealPairing, sealStatement } from '../../watchdog/path-frame.ts';
import {
  encodeStatement,
  lastGaspOf,
  readStatement,
  SEQ_OF_THE_DEAD,
  STATEMENT_BYTES,
} from '../../watchdog/statement-wire.ts';
import { assert, repoPath, type SeededRandom, seededRandom, suite } from '../harness/index.ts';

const test = suite('watchdog/wire');
const KEY = Uint8Array.from({ length: 32 }, (_, n) => n);

const BACKUP: Statement = {
  boot: 7,
  seq: 1234,
  role: 'backup',
  generation: 5,
  standing: 'behind',
  session: 3,
  grant: null,
  spent: null,
  wantsRenounce: false,
  ready: true,
  hears: { log: true, serial: true, front: false },
  witness: true,
  echoBoot: 2,
  echoSeq: 99,
};
const PRIMARY: Statement = {
  ...BACKUP,
  role: 'yielding',
  standing: 'shared',
  grant: { boot: 7, session: 3 },
  spent: { boot: 6, session: 1 },
  wantsRenounce: true,
  ready: false,
};
const EXTRAS = { position: 0x0102030405060708n, health: 0b1001 };

function randomStatement(random: SeededRandom): Statement {
  const role = random.pick(ROLES);
  const grant = () =>
    random.chance(0.5) ? { boot: 1 + random.int(1000), session: random.u32() } : null;
  return {
    boot: 1 + random.int(0xfffffffe),
    seq: random.int(0xffffffff),
    role,
    generation: random.u32(),
    standing: random.pick(['sole', 'shared', 'behind', 'unknown', 'pending'] as const),
    session: random.u32(),
    grant: grant(),
    spent: grant(),
    wantsRenounce: random.chance(0.5),
    ready: random.chance(0.5),
    hears: { log: random.chance(0.5), serial: random.chance(0.5), front: random.chance(0.5) },
    witness: random.chance(0.5),
    echoBoot: random.u32(),
    echoSeq: random.u32(),
  };
}

/** A vector file: `hex # comment` lines. */
function readVector(name: string): Buffer {
  const text = readFileSync(repoPath(`test/vectors/watchdog/${name}`), 'utf8');
  return Buffer.from(text.replace(/#.*/g, '').replace(/\s/g, ''), 'hex');
}

test('golden vectors, both directions', () => {
  const keys = pathKeys(KEY, 'a');
  const frames = {
    'statement-backup.hex': sealStatement(keys, BACKUP, EXTRAS),
    'statement-yielding.hex': sealStatement(keys, PRIMARY, EXTRAS),
    'last-gasp.hex': sealStatement(keys, lastGaspOf(7, { generation: 5, standing: 'shared' }), {
      position: 0n,
      health: 0,
    }),
    'pairing.hex': sealPairing(Uint8Array.of(4, 1)),
  };
  for (const [name, frame] of Object.entries(frames)) {
    if (process.env.REWRITE === '1')
      writeFileSync(repoPath(`test/vectors/watchdog/${name}`), vectorText(frame));
    assert.is(frame.toString('hex'), readVector(name).toString('hex'), name);
    const read = new FrameReader(pathKeys(KEY, 'b')).read(readVector(name));
    assert.ok(read.ok, name);
  }
  assert.is(
    readdirSync(repoPath('test/vectors/watchdog')).filter((f) => f.endsWith('.hex')).length,
    4,
  );
});

function vectorText(frame: Buffer): string {
  const hex = (from: number, to: number) => frame.subarray(from, to).toString('hex');
  const tag = frame.length - 12;
  const body: string[] = [];
  for (let at = 2; at < tag; at += 4) body.push(hex(at, Math.min(at + 4, tag)));
  return [
    `${hex(0, 1)} # kind`,
    `${hex(1, 2)} # side`,
    ...body.map((part, n) => `${part} # body ${n * 4}`),
    `${hex(tag, tag + 8)} # tag, pairing key 00 01 .. 1f`,
    `${hex(tag + 8, frame.length)} # crc32`,
    '',
  ].join('\n');
}

test('a statement comes back as it went, whatever it says', () => {
  const random = seededRandom('statements');
  for (let i = 0; i < 5000; i++) {
    const statement = randomStatement(random);
    const bytes = encodeStatement(statement, EXTRAS);
    assert.is(bytes.length, STATEMENT_BYTES);
    const read = readStatement(bytes);
    assert.ok(read.ok);
    if (read.ok) assert.equal([read.statement, read.extras], [statement, EXTRAS]);
  }
});

test('statements that contradict themselves are refused', () => {
  const broken = (change: (bytes: Uint8Array) => void) => {
    const bytes = encodeStatement(BACKUP, EXTRAS);
    change(bytes);
    const read = readStatement(bytes);
    return read.ok ? 'ok' : read.reason;
  };
  assert.is(
    broken(() => {}),
    'ok',
  );
  assert.is(
    broken((b) => b.fill(9, 0, 1)),
    'version',
  );
  assert.is(
    broken((b) => b.fill(200, 1, 2)),
    'body',
    'no such role',
  );
  assert.is(
    broken((b) => b.fill(9, 2, 3)),
    'body',
    'no such standing',
  );
  assert.is(
    broken((b) => b.fill(0, 4, 8)),
    'body',
    'boot 0',
  );
  assert.is(
    broken((b) => b.fill(0xff, 8, 12)),
    'body',
    'the last number belongs to the dead',
  );
  assert.is(
    broken((b) => b.fill(0, 3, 4)),
    'body',
    'a backup that is not in step',
  );
  assert.is(readStatement(new Uint8Array(0)).ok, false);
  assert.throws(() => encodeStatement({ ...BACKUP, boot: -1 }, EXTRAS), /u32/);
});

test('frames: whole, cut at every length, every bit flipped, reflected, foreign key, replayed', () => {
  const [a, b] = [pathKeys(KEY, 'a'), pathKeys(KEY, 'b')];
  const frame = sealStatement(a, BACKUP, EXTRAS);
  const fresh = () => new FrameReader(b);
  assert.ok(fresh().read(frame).ok);
  for (let length = 0; length < frame.length; length++) {
    assert.not.ok(fresh().read(frame.subarray(0, length)).ok, `cut at ${length}`);
  }
  for (let bit = 0; bit < frame.length * 8; bit++) {
    const bad = Buffer.from(frame);
    bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.not.ok(fresh().read(bad).ok, `bit ${bit}`);
    // As a forger would: with the checksum made right again.
    bad.writeUInt32BE(crc32(bad.subarray(0, -4)), bad.length - 4);
    const forged = fresh();
    if (bit < (frame.length - 4) * 8) assert.not.ok(forged.read(bad).ok, `forged bit ${bit}`);
  }
  const reasons: [string, Buffer, FrameReader][] = [
    ['reflected', frame, new FrameReader(a)],
    [
      'tag',
      frame,
      new FrameReader(
        pathKeys(
          KEY.map((byte) => byte ^ 1),
          'b',
        ),
      ),
    ],
    ['kind', frame, new FrameReader(null)],
    ['long', Buffer.alloc(200), fresh()],
    ['short', Buffer.alloc(3), fresh()],
  ];
  for (const [reason, bytes, reader] of reasons) {
    const read = reader.read(bytes);
    assert.is(read.ok ? 'ok' : read.reason, reason);
    assert.is(reader.rejected[reason as 'tag'], 1);
  }
  const reader = fresh();
  assert.ok(reader.read(frame).ok);
  for (const [boot, seq, ok] of [
    [7, 1234, false],
    [7, 1233, false],
    [6, 5000, false],
    [7, 1235, true],
    [8, 0, true],
  ] as const) {
    assert.is(
      reader.read(sealStatement(a, { ...BACKUP, boot, seq }, EXTRAS)).ok,
      ok,
      `${boot}.${seq}`,
    );
  }
  const gasp = lastGaspOf(8, { generation: 5, standing: 'shared' });
  assert.is(gasp.seq, SEQ_OF_THE_DEAD);
  assert.ok(reader.read(sealStatement(a, gasp, EXTRAS)).ok);
  assert.is(reader.accepted, 4);
});

test('a last word uses up no number of the living, and comes once a start', () => {
  const [a, b] = [pathKeys(KEY, 'a'), pathKeys(KEY, 'b')];
  const reader = new FrameReader(b);
  const living = (boot: number, seq: number) => ({ ...BACKUP, boot, seq });
  const dead = (boot: number) => lastGaspOf(boot, { generation: 5, standing: 'shared' });
  for (const [what, statement, ok] of [
    ['said before', living(7, 100), true],
    ['the word', dead(7), true],
    ['again', dead(7), false],
    ['a replay of the living', living(7, 100), false],
    ['the living goes on', living(7, 101), true],
    ['the word, a third time', dead(7), false],
    ['of an earlier start', dead(6), false],
    ['the word of a start not heard yet', dead(9), true],
    ['the start before lives after all', living(7, 102), true],
    ['the start itself', living(9, 0), true],
    ['its word again', dead(9), false],
    ['late, of a start before', living(7, 103), false],
    ['the next start', living(10, 1), true],
    ['and its word', dead(10), true],
  ] as const) {
    assert.is(reader.read(sealStatement(a, statement, EXTRAS)).ok, ok, what);
  }
  assert.is(reader.rejected.replay, 6);
});

/** Written from the definition: a code before each run of up to 254 non-zero bytes. */
function naiveCobs(bytes: Uint8Array): number[] {
  const out: number[] = [];
  let run: number[] = [];
  let open = true;
  for (const byte of bytes) {
    open = true;
    if (byte === 0) {
      out.push(run.length + 1, ...run);
      run = [];
      continue;
    }
    run.push(byte);
    if (run.length === 254) {
      out.push(255, ...run);
      run = [];
    }
  }
  if (open) out.push(run.length + 1, ...run);
  return out;
}

test('COBS equals the naive encoder, holds no zero, and comes back', () => {
  const random = seededRandom('cobs');
  const lengths = [0, 1, 2, 253, 254, 255, 256, 507, 508, 509];
  for (let i = 0; i < 3000; i++) {
    const bytes = random.bytes(lengths[i] ?? random.int(600));
    if (random.chance(0.3)) bytes.fill(0, 0, random.int(bytes.length + 1));
    if (random.chance(0.3)) bytes.fill(7);
    const coded = cobsEncode(bytes);
    assert.equal([...coded], naiveCobs(bytes));
    assert.not.ok(coded.includes(0));
    assert.equal(cobsDecode(coded), bytes);
  }
  assert.is(cobsDecode(Uint8Array.of(5, 1, 2)), null);
});

test('the reader finds its place again after noise, byte by byte, two in one, and stays bounded', () => {
  const random = seededRandom('noise');
  const reader = new CobsReader(64);
  const payload = Uint8Array.of(1, 0, 2, 0, 0, 3);
  const coded = Uint8Array.of(0, ...cobsEncode(payload), 0);
  const got: Uint8Array[] = [];
  for (const byte of coded) got.push(...reader.push(Uint8Array.of(byte)));
  got.push(...reader.push(Uint8Array.of(...coded, ...coded)));
  assert.equal(got, [payload, payload, payload]);
  let whole = 0;
  for (let i = 0; i < 2000; i++) {
    reader.push(random.bytes(random.int(300)));
    for (const frame of reader.push(coded)) if (Buffer.compare(frame, payload) === 0) whole += 1;
  }
  assert.is(whole, 2000, 'every frame after noise arrives');
  assert.ok(reader.overlong > 0 && reader.broken > 0);
});

test('random bytes through the whole stack: no throw, nothing accepted, all counted', () => {
  const random = seededRandom('fuzz');
  const stream = new CobsReader(128);
  const reader = new FrameReader(pathKeys(KEY, 'b'));
  const good = sealStatement(pathKeys(KEY, 'a'), BACKUP, EXTRAS);
  let frames = 0;
  for (let i = 0; i < 30_000; i++) {
    const bytes = random.chance(0.5) ? random.bytes(random.int(140)) : Uint8Array.from(good);
    if (bytes.length > 0) bytes[random.int(bytes.length)] = random.int(256);
    if (Buffer.compare(bytes, good) === 0) continue;
    for (const frame of stream.push(Uint8Array.of(...cobsEncode(bytes), 0))) {
      frames += 1;
      assert.not.ok(reader.read(frame).ok && reader.accepted > 0);
    }
  }
  const counted = Object.values(reader.rejected).reduce((sum, n) => sum + n, 0);
  assert.is(counted, frames);
  assert.is(reader.accepted, 0);
});

test.run();

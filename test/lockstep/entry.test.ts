// The entry codec: against its vectors, against a naive second encoder, and against bytes from hell.
import { readFileSync } from 'node:fs';
import type { Entry, EntryBody } from '../../firmware/lockstep/entry.ts';
import { EntryDecoder, EntryEncoder } from '../../firmware/lockstep/entry-codec.ts';
import { assert, repoPath, type SeededRandom, seededRandom, suite } from '../harness/index.ts';
import { naiveEncode } from './naive-entry.ts';

const test = suite('lockstep/entry');

/** The log of the vectors file, in its order. */
const VECTOR_LOG: Entry[] = [
  { position: 0n, body: { kind: 'clock-step', ns: 0n, multiplier: 8n << 32n } },
  { position: 1000n, body: { kind: 'clock-step', ns: 8000n, multiplier: 8n << 32n } },
  { position: 1500n, body: { kind: 'clock-step', ns: 12300n, multiplier: (8n << 32n) - 5n } },
  { position: 1500n, body: { kind: 'net-rx', nic: 1, frame: Uint8Array.of(1, 2, 3) } },
  { position: 1628n, body: { kind: 'output', sequence: 1n, hash: 0xdeadbeef } },
  { position: 1629n, body: { kind: 'output', sequence: 4n, hash: 0 } },
  { position: 2000n, body: { kind: 'serial-rx', port: 'com2', bytes: Uint8Array.of(0x61) } },
  {
    position: 2000n,
    body: { kind: 'serial-line', port: 'com2', cts: true, dsr: false, dcd: true, ri: false },
  },
  { position: 2000n, body: { kind: 'serial-break', port: 'console' } },
  {
    position: 3000n,
    body: { kind: 'disk-completion', disk: 0, id: 300, status: 'ok', data: { from: 'none' } },
  },
  {
    position: 3000n,
    body: {
      kind: 'disk-completion',
      disk: 1,
      id: 7,
      status: 'ok',
      data: { from: 'entry', bytes: Uint8Array.of(9, 8) },
    },
  },
  {
    position: 3000n,
    body: {
      kind: 'disk-completion',
      disk: 0,
      id: 8,
      status: 'io-error',
      data: { from: 'replica', hash: 0x01020304 },
    },
  },
  { position: 1n << 40n, body: { kind: 'control', action: 'nmi' } },
  { position: 1n << 40n, body: { kind: 'digest', state: 0x0123456789abcdefn, memory: 1n } },
  { position: 1n << 40n, body: { kind: 'wall-clock', wallNs: 1n } },
  {
    position: 1n << 40n,
    body: { kind: 'slice-close', state: Uint8Array.of(1, 2), pages: Uint8Array.of(3) },
  },
  { position: (1n << 64n) - 1n, body: { kind: 'end' } },
];

function encodeAll(entries: readonly Entry[]): string[] {
  const encoder = new EntryEncoder();
  return entries.map((entry) => Buffer.from(encoder.encode(entry)).toString('hex'));
}

interface At {
  ns: bigint;
  sequence: bigint;
}
type RandomBodies = {
  readonly [Kind in EntryBody['kind']]: (
    random: SeededRandom,
    at: At,
  ) => Extract<EntryBody, { kind: Kind }>;
};

const port = (random: SeededRandom) => random.pick(['com1', 'com2', 'console'] as const);
const small = (random: SeededRandom) => random.bytes(random.int(40));

/** Complete by type, as the codecs are. */
const RANDOM_BODIES: RandomBodies = {
  'clock-step'(random, at) {
    at.ns += random.bigint(random.int(40));
    return { kind: 'clock-step', ns: at.ns, multiplier: random.bigint(35) + 1n };
  },
  'net-rx': (random) => ({
    kind: 'net-rx',
    nic: random.int(16),
    frame: random.bytes(random.int(1600)),
  }),
  'serial-rx': (random) => ({ kind: 'serial-rx', port: port(random), bytes: small(random) }),
  'serial-line'(random) {
    const [cts, dsr, dcd, ri] = [0, 0, 0, 0].map(() => random.chance(0.5));
    const lines = { cts: !!cts, dsr: !!dsr, dcd: !!dcd, ri: !!ri };
    const duplex = random.chance(0.5) ? ({ isHalfDuplex: true } as const) : {};
    return { kind: 'serial-line', port: port(random), ...lines, ...duplex };
  },
  'serial-break': (random) => ({ kind: 'serial-break', port: port(random) }),
  'disk-completion': (random) => ({
    kind: 'disk-completion',
    disk: random.int(256),
    id: random.int(2 ** 40),
    status: random.pick(['ok', 'io-error', 'unsupported'] as const),
    data: random.pick([
      { from: 'none' },
      { from: 'entry', bytes: small(random) },
      { from: 'replica', hash: random.u32() },
    ] as const),
  }),
  control: (random) => ({
    kind: 'control',
    action: random.pick(['reset', 'power-button', 'nmi'] as const),
  }),
  'wall-clock': (random) => ({ kind: 'wall-clock', wallNs: random.bigint(63) }),
  output(random, at) {
    at.sequence += BigInt(random.int(300));
    return { kind: 'output', sequence: at.sequence, hash: random.u32() };
  },
  digest: (random) => ({ kind: 'digest', state: random.bigint(64), memory: random.bigint(64) }),
  'slice-close': (random) => ({
    kind: 'slice-close',
    state: small(random),
    pages: random.bytes(random.int(300)),
  }),
  end: () => ({ kind: 'end' }),
};
const KINDS = Object.keys(RANDOM_BODIES) as EntryBody['kind'][];

/** A log the recorder could have written: time and positions grow, time never behind prediction. */
function randomLog(random: SeededRandom, count: number): Entry[] {
  const at = { ns: 0n, sequence: 0n };
  let clock = { position: 0n, multiplier: 0n, ns: 0n };
  let position = 0n;
  return Array.from({ length: count }, () => {
    position += random.bigint(random.pick([0, 3, 10, 24]));
    at.ns = clock.ns + (((position - clock.position) * clock.multiplier) >> 32n);
    const body = RANDOM_BODIES[random.pick(KINDS)](random, at);
    if (body.kind === 'clock-step') clock = { position, multiplier: body.multiplier, ns: body.ns };
    return { position, body };
  });
}

test('ENTRIES.md has each kind once, with its number; the vectors have each', () => {
  const page = readFileSync(repoPath('firmware/lockstep/ENTRIES.md'), 'utf8');
  const rows = [...page.matchAll(/^\| (\d+) +\| (\S+) /gm)].map(([, number, kind]) => [
    Number(number),
    kind,
  ]);
  const at = { ns: 0n, sequence: 0n };
  const random = seededRandom('kinds');
  const coded = KINDS.map((kind) => {
    const body = RANDOM_BODIES[kind](random, at);
    return [new EntryEncoder().encode({ position: 0n, body })[0]! & 0xf, kind];
  });
  assert.equal(
    rows,
    coded.sort(([a], [b]) => Number(a) - Number(b)),
  );
  const inVectors = new Set(VECTOR_LOG.map(({ body }) => body.kind));
  assert.equal([...inVectors].sort(), [...KINDS].sort());
});

test('writes the vectors', () => {
  const lines = vectorLines();
  assert.equal(
    encodeAll(VECTOR_LOG),
    lines.map(({ bytes }) => bytes),
  );
});

test('reads the vectors', () => {
  const decoder = new EntryDecoder();
  const bytes = Buffer.from(
    vectorLines()
      .map((line) => line.bytes)
      .join(''),
    'hex',
  );
  let at = 0;
  for (const entry of VECTOR_LOG) {
    const decoded = decoder.decode(bytes, at);
    assert.ok(decoded.ok);
    assert.equal(decoded.entry, entry);
    at += decoded.bytes;
  }
  assert.is(at, bytes.length);
});

test('the naive encoder agrees, and what is written is read back', () => {
  const random = seededRandom('entry');
  for (let round = 0; round < 200; round++) {
    const log = randomLog(random, 50);
    const encoded = encodeAll(log);
    assert.equal(encoded, naiveEncode(log));
    const decoder = new EntryDecoder();
    for (const [at, text] of encoded.entries()) {
      const decoded = decoder.decode(Buffer.from(text, 'hex'));
      assert.ok(decoded.ok);
      assert.equal(decoded.entry, log[at]);
      assert.is(decoded.bytes, text.length / 2);
    }
  }
});

test('a busy clock step and an output marker cost a few bytes', () => {
  const encoder = new EntryEncoder();
  const first = { kind: 'clock-step', ns: 0n, multiplier: 7n << 32n } as const;
  encoder.encode({ position: 0n, body: first });
  const step = { kind: 'clock-step', ns: 7_000_900n, multiplier: (7n << 32n) + 1000n } as const;
  assert.ok(encoder.encode({ position: 1_000_000n, body: step }).length <= 8);
  const marker = { kind: 'output', sequence: 1n, hash: 1 } as const;
  assert.ok(encoder.encode({ position: 1_000_100n, body: marker }).length <= 8);
});

test('cut at every length: refused, and the decoder can go on', () => {
  const decoder = new EntryDecoder();
  for (const line of vectorLines()) {
    const bytes = Buffer.from(line.bytes, 'hex');
    for (let length = 0; length < bytes.length; length++) {
      const decoded = decoder.decode(bytes.subarray(0, length));
      assert.equal(decoded, { ok: false, reason: 'cut', at: 0 });
    }
    assert.ok(decoder.decode(bytes).ok);
  }
});

test('each refusal has its reason', () => {
  const refuse = (bytes: string, reason: string) =>
    assert.equal(new EntryDecoder().decode(Buffer.from(bytes, 'hex')), {
      ok: false,
      reason,
      at: 0,
    });
  refuse('', 'cut');
  refuse('0000', 'kind');
  refuse('0e00', 'kind');
  refuse('1700', 'aux');
  refuse('0b0001', 'kind');
  refuse('1e00', 'kind');
  refuse('1c00', 'aux');
  refuse('33000161', 'aux');
  refuse('3800', 'aux');
  refuse('040010', 'range');
  refuse('0180', 'cut');
  refuse('0c8000', 'cut'); // a varint longer than needed
  refuse('0cffffffffffffffffff02', 'cut'); // more than 64 bits
  refuse('02000561', 'cut'); // claims more than is there
  refuse('01000000', 'range'); // a clock that stands still
});

test('positions and times beyond 64 bits are refused and do not stick', () => {
  const decoder = new EntryDecoder();
  const last = new EntryEncoder().encode({ position: (1n << 64n) - 1n, body: { kind: 'end' } });
  assert.ok(decoder.decode(last).ok);
  assert.equal(decoder.decode(Uint8Array.of(12, 1)), { ok: false, reason: 'range', at: 0 });
  assert.ok(decoder.decode(Uint8Array.of(12, 0)).ok);
});

test('random and mutated bytes never throw and never read outside', () => {
  const random = seededRandom('fuzz');
  const log = randomLog(random, 200);
  const whole = encodeAll(log).map((text) => Buffer.from(text, 'hex'));
  for (let round = 0; round < 20_000; round++) {
    const decoder = new EntryDecoder();
    const bytes = random.chance(0.5)
      ? Buffer.from(random.bytes(random.int(64)))
      : Buffer.from(random.pick(whole));
    if (bytes.length > 0) bytes[random.int(bytes.length)] = random.int(256);
    const decoded = decoder.decode(bytes);
    if (decoded.ok) assert.ok(decoded.bytes <= bytes.length);
  }
});

test('the encoder refuses what a recorder must never make', () => {
  const encoder = new EntryEncoder();
  encoder.encode({ position: 10n, body: { kind: 'end' } });
  assert.throws(() => encoder.encode({ position: 9n, body: { kind: 'end' } }), /after 10/);
  const back = { kind: 'clock-step', ns: 5n, multiplier: 1n } as const;
  const clock = new EntryEncoder();
  clock.encode({ position: 0n, body: { kind: 'clock-step', ns: 10n, multiplier: 1n } });
  assert.throws(() => clock.encode({ position: 0n, body: back }), /not 64 bits/);
});

function vectorLines(): { bytes: string; says: string }[] {
  return readFileSync(repoPath('test/vectors/entries/log.hex'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const [bytes = '', says = ''] = line.split('#');
      return { bytes: bytes.replaceAll(' ', ''), says };
    });
}

test.run();

// The golden vectors: name, contents, and for those that must be refused, the reason. The files in
// test/vectors/logchan/ hold one field a line; whoever writes another implementation starts there.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { DropReason } from '../../logchan/reasons.ts';
import { repoPath } from '../harness/index.ts';
import {
  type Field,
  join,
  type NaiveSection,
  naiveHeader,
  naiveHello,
  naiveSeal,
  naiveSection,
} from './naive-wire.ts';

/** 0x10, 0x11, ...: recognisable in a dump. */
export const ramp = (first: number, count: number) =>
  Uint8Array.from({ length: count }, (_, i) => (first + i) & 0xff);

export const KEYS = {
  pairingKey: ramp(0x00, 32),
  cluster: 'press-4',
  lower: ramp(0x40, 32),
  higher: ramp(0x80, 32),
};

export interface Vector {
  name: string;
  /** frame: as on the wire. body: the inside of a sealed frame. */
  level: 'frame' | 'body';
  fields: Field[];
  reason?: DropReason;
  /** Of a sealed frame: what its body holds before sealing. */
  body?: Field[];
}

const hello = { pairingKey: KEYS.pairingKey, cluster: KEYS.cluster, frameBytesMax: 1500 };
const call = naiveHello({ ...hello, nonce: KEYS.lower });
const answer = naiveHello({ ...hello, nonce: KEYS.higher, echo: KEYS.lower, frameBytesMax: 9000 });
const seal = (counter: number, sections: NaiveSection[]) =>
  naiveSeal({ ...KEYS, mine: KEYS.lower, theirs: KEYS.higher, counter }, sections);
const bytes = (text: string) => new Uint8Array(Buffer.from(text));
/** Messages "a" and "entry two", with their length prefixes. */
const twoMessages = Buffer.concat([
  Buffer.from([1]),
  bytes('a'),
  Buffer.from([9]),
  bytes('entry two'),
]);
const ackLog = { ack: 0, lane: 0, bytes: 8 << 20, messages: 1 << 16 };
const ackBulk = { ack: 0, lane: 1, bytes: 4 << 20, messages: 1 << 12 };

function replaced(fields: Field[], meaning: string, digits: string): Field[] {
  return fields.map(([was, what]) => [what.startsWith(meaning) ? digits : was, what]);
}

function frames(): Vector[] {
  const frame = (name: string, fields: Field[], reason?: DropReason): Vector => ({
    name,
    level: 'frame',
    fields,
    ...(reason === undefined ? {} : { reason }),
  });
  const sealed = (name: string, counter: number, sections: NaiveSection[]): Vector => {
    const { frame: fields, body } = seal(counter, sections);
    return { name, level: 'frame', fields, body };
  };
  return [
    frame('hello-call', call),
    frame('hello-answer', answer),
    frame(
      'hello-confirm',
      naiveHello({ ...hello, nonce: KEYS.lower, echo: KEYS.higher, established: true }),
    ),
    sealed('sealed-keepalive', 1, [{ seen: 0, heldUs: 0 }, ackLog, ackBulk]),
    sealed('sealed-messages', 2, [
      { seen: 7, heldUs: 125 },
      { data: twoMessages, lane: 0, offset: 0 },
      { ask: true },
    ]),
    sealed('sealed-gaps', 2 ** 40, [
      { seen: 2 ** 32 + 5, heldUs: 3 },
      {
        ...ackLog,
        ack: 2 ** 33 + 17,
        ranges: [
          [2 ** 33 + 1417, 2 ** 33 + 2817],
          [2 ** 33 + 4000, 2 ** 33 + 4001],
        ],
      },
    ]),
    sealed('sealed-bulk', 9, [{ data: ramp(0x20, 64), lane: 1, offset: 2 ** 35 }]),
    sealed('sealed-probe', 10, [{ probe: 128 }, { padding: 93 }]),
    sealed('sealed-probed', 11, [{ probed: 128 }]),
    sealed('sealed-bye', 12, [{ bye: 1 }]),
    frame('padded-to-46', [...seal(13, [{ ask: true }]).frame, ['00'.repeat(13), 'padding']]),
    frame('bad-magic', replaced(call, 'magic', '5458'), 'magic'),
    frame('bad-version', replaced(call, 'version', '02'), 'version'),
    frame('bad-kind', replaced(call, 'kind', '03'), 'kind'),
    frame('bad-length', replaced(call, 'body', '006d'), 'short'),
    frame(
      'bad-no-frame',
      naiveHeader({ kind: 2, session: 0, counter: 0, bodyBytes: 0 }).slice(0, 5),
      'short',
    ),
    frame(
      'bad-cluster',
      naiveHello({ ...hello, cluster: 'press-5', nonce: KEYS.lower }),
      'cluster',
    ),
    frame(
      'bad-key',
      naiveHello({ ...hello, pairingKey: ramp(0x01, 32), nonce: KEYS.lower }),
      'key',
    ),
    frame('bad-hello-altered', replaced(call, 'largest', '05dd'), 'key'),
    frame(
      'bad-hello-small',
      naiveHello({ ...hello, nonce: KEYS.lower, frameBytesMax: 1279 }),
      'hello',
    ),
    frame('bad-tag', replaced(seal(14, [{ ask: true }]).frame, 'tag', '00'.repeat(16)), 'forged'),
    frame(
      'bad-counter',
      replaced(seal(15, [{ ask: true }]).frame, 'counter', '000000000010'),
      'forged',
    ),
  ];
}

function bodies(): Vector[] {
  const body = (name: string, reason: DropReason, ...fields: Field[]): Vector => ({
    name: `bad-body-${name}`,
    level: 'body',
    fields,
    reason,
  });
  const data = naiveSection({ data: twoMessages, lane: 0, offset: 0 });
  const ack = naiveSection({ ...ackLog, ranges: [[5, 9]] });
  return [
    body('unknown', 'section', ['08', 'a section of the future']),
    body('seen-cut', 'cut', ...naiveSection({ seen: 1, heldUs: 1 }).slice(0, 2)),
    body(
      'seen-twice',
      'twice',
      ...naiveSection({ seen: 1, heldUs: 1 }),
      ...naiveSection({ seen: 1, heldUs: 1 }),
    ),
    body('ack-lane', 'range', ...replaced(ack, 'lane', '02')),
    body('ack-cut', 'cut', ...ack.slice(0, 7)),
    body('ack-many', 'range', ...replaced(ack, '1 ranges', '21')),
    body('ack-touching', 'range', ...replaced(ack, 'gap', '00000000')),
    body('ack-empty-range', 'range', ...replaced(ack, 'received', '00000000')),
    body('ack-beyond', 'range', ...replaced(ack, 'everything', '0020000000000000')),
    body('data-lane', 'range', ...replaced(data, 'lane', '02')),
    body('data-cut', 'cut', ...data.slice(0, 4), ['0161', 'two of twelve bytes']),
    body('data-empty', 'range', ...naiveSection({ data: new Uint8Array(0), lane: 1, offset: 3 })),
    body('data-beyond', 'range', ...replaced(data, 'offset', '001fffffffffffff')),
    body('data-twice', 'twice', ...data, ...data),
    body('probe-zero', 'range', ...naiveSection({ probe: 0 })),
    body('probed-cut', 'cut', ['0600', 'half a size']),
    body('bye-cut', 'cut', ['07', 'no reason']),
    body('bye-zero', 'range', ['0700', 'bye for no reason']),
    body('ask-twice', 'twice', ['0404', 'ask ask']),
  ];
}

export const vectors: Vector[] = [...frames(), ...bodies()];

const file = (name: string) => repoPath(`test/vectors/logchan/${name}.hex`);

export function vectorText({ fields, body, reason }: Vector): string {
  const line = ([digits, meaning]: Field) => `${digits} # ${meaning}`;
  return [
    ...(reason === undefined ? [] : [`# refused: ${reason}`]),
    ...(body === undefined ? [] : body.map((field) => `# body: ${line(field)}`)),
    ...fields.map(line),
    '',
  ].join('\n');
}

/** The bytes of a vector, from its file. */
export function vectorBytes(name: string): Uint8Array {
  const digits = readFileSync(file(name), 'utf8').replace(/#.*$/gm, '').replace(/\s/g, '');
  return new Uint8Array(Buffer.from(digits, 'hex'));
}

export function vectorFile(name: string): string | undefined {
  return existsSync(file(name)) ? readFileSync(file(name), 'utf8') : undefined;
}

export function rewriteVectors(): void {
  mkdirSync(repoPath('test/vectors/logchan'), { recursive: true });
  for (const vector of vectors) writeFileSync(file(vector.name), vectorText(vector));
}

/** Changes with any vector: what FORMAT_VERSION is pinned to. */
export function vectorsChecksum(): string {
  const hash = createHash('sha256');
  for (const { name } of vectors) hash.update(name).update(vectorBytes(name));
  return hash.digest('hex').slice(0, 16);
}

export const bytesOf = (vector: Vector) => new Uint8Array(join(vector.fields));

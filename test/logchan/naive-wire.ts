// A second encoder of the format, slow and obvious, written from FORMAT.md alone: fields are a list
// of hexadecimal strings with their meaning, joined at the end. It shares no line with logchan/.
import { createCipheriv, createHash, createHmac, hkdfSync } from 'node:crypto';

/** Hexadecimal digits and what they mean: one line of a vector file. */
export type Field = [hex: string, meaning: string];

const hex = (value: number | bigint, bytes: number) =>
  BigInt(value)
    .toString(16)
    .padStart(bytes * 2, '0');

export const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
export const join = (fields: Field[]) =>
  Buffer.from(fields.map(([digits]) => digits).join(''), 'hex');

export interface NaiveHeader {
  kind: number;
  session: number;
  counter: number;
  bodyBytes: number;
  version?: number;
}

export function naiveHeader(header: NaiveHeader): Field[] {
  return [
    ['5457', 'magic'],
    [hex(header.version ?? 1, 1), 'version'],
    [hex(header.kind, 1), header.kind === 1 ? 'kind: hello' : 'kind: sealed'],
    [hex(header.session, 4), 'session'],
    [hex(header.counter, 6), 'counter'],
    [hex(header.bodyBytes, 2), `body: ${header.bodyBytes} bytes`],
  ];
}

export interface NaiveHello {
  pairingKey: Uint8Array;
  cluster: string;
  nonce: Uint8Array;
  echo?: Uint8Array;
  established?: boolean;
  frameBytesMax: number;
}

export function naiveHello(hello: NaiveHello): Field[] {
  const cluster = createHash('sha256').update(`twinstep cluster\0${hello.cluster}`).digest();
  const fields: Field[] = [
    ...naiveHeader({ kind: 1, session: 0, counter: 0, bodyBytes: 108 }),
    [toHex(cluster.subarray(0, 8)), `cluster "${hello.cluster}"`],
    [toHex(hello.nonce), 'nonce'],
    [toHex(hello.echo ?? new Uint8Array(32)), hello.echo ? 'echo' : 'echo: none, a call'],
    [hello.established ? '01' : '00', hello.established ? 'flags: established' : 'flags'],
    ['00', 'zero'],
    [hex(hello.frameBytesMax, 2), `largest frame: ${hello.frameBytesMax} bytes`],
  ];
  const key = hkdfSync('sha256', hello.pairingKey, '', 'twinstep hello v1', 32);
  const mac = createHmac('sha256', Buffer.from(key)).update(join(fields)).digest('hex');
  return [...fields, [mac, 'HMAC-SHA-256 of all before it']];
}

export type NaiveSection =
  | { seen: number; heldUs: number }
  | { ack: number; lane: number; bytes: number; messages: number; ranges?: [number, number][] }
  | { data: Uint8Array; lane: number; offset: number }
  | { ask: true }
  | { probe: number }
  | { probed: number }
  | { bye: number }
  | { padding: number };

const laneName = (lane: number) => (lane === 0 ? 'log' : 'bulk');

export function naiveSection(section: NaiveSection): Field[] {
  if ('seen' in section) {
    return [
      ['03', 'seen'],
      [hex(section.seen, 6), 'newest counter received'],
      [hex(section.heldUs, 4), `held for ${section.heldUs} us`],
    ];
  }
  if ('ack' in section) return naiveAck(section);
  if ('data' in section) {
    return [
      ['02', 'data'],
      [hex(section.lane, 1), `lane: ${laneName(section.lane)}`],
      [hex(section.offset, 8), 'offset'],
      [hex(section.data.length, 2), `${section.data.length} bytes`],
      [toHex(section.data), 'stream bytes'],
    ];
  }
  if ('ask' in section) return [['04', 'ask: answer at once']];
  if ('probe' in section)
    return [[`05${hex(section.probe, 2)}`, `probe of ${section.probe} bytes`]];
  if ('probed' in section) {
    return [[`06${hex(section.probed, 2)}`, `a probe of ${section.probed} bytes arrived`]];
  }
  if ('bye' in section) return [[`07${hex(section.bye, 1)}`, 'bye']];
  return [['00'.repeat(section.padding), `padding: ${section.padding} bytes`]];
}

function naiveAck(section: Extract<NaiveSection, { ack: number }>): Field[] {
  const ranges = section.ranges ?? [];
  const fields: Field[] = [
    ['01', 'ack'],
    [hex(section.lane, 1), `lane: ${laneName(section.lane)}`],
    [hex(section.ack, 8), 'everything below this offset'],
    [hex(section.bytes, 4), `credit: ${section.bytes} bytes`],
    [hex(section.messages, 4), `credit: ${section.messages} messages`],
    [hex(ranges.length, 1), `${ranges.length} ranges beyond it`],
  ];
  let from = section.ack;
  for (const [start, end] of ranges) {
    fields.push([hex(start - from, 4), 'gap'], [hex(end - start, 4), 'received']);
    from = end;
  }
  return fields;
}

export interface NaiveSealed {
  pairingKey: Uint8Array;
  cluster: string;
  mine: Uint8Array;
  theirs: Uint8Array;
  counter: number;
}

/** The whole sealed frame, and the fields of its body before sealing. */
export function naiveSeal(sealed: NaiveSealed, sections: NaiveSection[]) {
  const tag = createHash('sha256').update(`twinstep cluster\0${sealed.cluster}`).digest();
  const lower = toHex(sealed.mine) < toHex(sealed.theirs);
  const salt = Buffer.concat(lower ? [sealed.mine, sealed.theirs] : [sealed.theirs, sealed.mine]);
  const info = `twinstep session v1 ${tag.toString('hex', 0, 8)}`;
  const bytes = Buffer.from(hkdfSync('sha256', sealed.pairingKey, salt, info, 68));
  const key = lower ? bytes.subarray(0, 32) : bytes.subarray(32, 64);
  const body = sections.flatMap(naiveSection);
  const plain = join(body);
  const header = naiveHeader({
    kind: 2,
    session: bytes.readUInt32BE(64),
    counter: sealed.counter,
    bodyBytes: plain.length + 16,
  });
  const nonce = Buffer.from(hex(lower ? 1 : 2, 4) + hex(sealed.counter, 8), 'hex');
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(join(header));
  const hidden = cipher.update(plain);
  cipher.final();
  const frame: Field[] = [
    ...header,
    [toHex(hidden), 'sealed body'],
    [toHex(cipher.getAuthTag()), 'tag'],
  ];
  return { frame, body };
}

// What two boards say to each other about the guest, over the log lane of their channel. MESSAGES.md has the
// bytes and the order of things, bulk-messages.ts the other lane. Bytes come from a peer: decoding never throws, it
// gives a reason.
import type { BaseStep } from './bases.ts';
import { checked, type Decoded, FieldReader, FieldWriter, type MessageProblem } from './fields.ts';

/** Bump when an older peer would read a message differently; `want` carries it. */
export const MESSAGES_VERSION = 3;

export type MarkKind = 'grant' | 'leave';

export type LogMessage =
  | { readonly type: 'statement'; readonly frame: Uint8Array }
  | {
      readonly type: 'begin';
      /** Counts the streams of this start of the leader. */
      readonly stream: number;
      readonly generation: number;
      readonly boot: number;
      readonly session: number;
      readonly position: bigint;
    }
  | { readonly type: 'log'; readonly bytes: Uint8Array }
  | {
      readonly type: 'mark';
      readonly mark: MarkKind;
      readonly generation: number;
      readonly boot: number;
      readonly session: number;
    }
  | { readonly type: 'released'; readonly sequence: bigint }
  | Ack
  | {
      readonly type: 'want';
      readonly boot: number;
      readonly session: number;
      /** What it knows of its disks: bases.ts. */
      readonly bases: readonly number[];
      /** Why it knows no more, in words. */
      readonly forgotten: string;
      readonly facts: Uint8Array;
    }
  | { readonly type: 'refuse'; readonly session: number; readonly reasons: readonly string[] }
  | { readonly type: 'synced'; readonly stream: number; readonly session: number }
  | { readonly type: 'drop'; readonly session: number; readonly reason: string }
  /** Two boards in step agree on a new base: bases.ts. `here` counts as a message of the log. */
  | {
      readonly type: 'base';
      readonly step: BaseStep;
      readonly session: number;
      readonly base: number;
    }
  /** The follower is to survey its disk from this block on (disk-check.ts). Counts as a message of the log. */
  | {
      readonly type: 'look';
      readonly session: number;
      readonly id: number;
      readonly disk: number;
      readonly first: number;
    }
  /** For people: about.ts. */
  | { readonly type: 'about'; readonly about: Uint8Array }
  /** What the guest said before this follower heard it: heard.ts. */
  | { readonly type: 'heard'; readonly heard: Uint8Array }
  /** What is the time there? By the asker's clock. */
  | { readonly type: 'clock-ask'; readonly askedNs: bigint }
  /** With the question's own time again, and two of the answerer's clock. */
  | {
      readonly type: 'clock';
      readonly askedNs: bigint;
      readonly receivedNs: bigint;
      readonly answeredNs: bigint;
    };

export interface Ack {
  readonly type: 'ack';
  readonly stream: number;
  readonly generation: number;
  readonly session: number;
  /** Log and mark messages since `begin` that are in the follower's memory. */
  readonly through: number;
  /** Those of them that its machine has behind it. */
  readonly applied: number;
  readonly position: bigint;
  readonly virtualNs: bigint;
}

const LOG_TYPE = {
  statement: 0x01,
  begin: 0x02,
  log: 0x03,
  mark: 0x04,
  released: 0x05,
  ack: 0x06,
  want: 0x07,
  refuse: 0x08,
  synced: 0x09,
  drop: 0x0a,
  about: 0x0b,
  heard: 0x0c,
  'clock-ask': 0x0d,
  clock: 0x0e,
  base: 0x0f,
  look: 0x10,
} as const satisfies Record<LogMessage['type'], number>;

const BASE_STEPS: readonly BaseStep[] = ['begin', 'begun', 'here', 'settled'];
const BASES_MAX = 8;
const MARKS: readonly MarkKind[] = ['grant', 'leave'];
const REASONS_MAX = 32;

export function encodeLogMessage(message: LogMessage): Uint8Array {
  const type = LOG_TYPE[message.type];
  const write = (bytes: number) => new FieldWriter(1 + bytes).u8(type);
  switch (message.type) {
    case 'statement':
      return write(message.frame.length).raw(message.frame).done();
    case 'log':
      return write(message.bytes.length).raw(message.bytes).done();
    case 'begin': {
      const { stream, generation, boot, session, position } = message;
      return write(24).u32(stream).u32(generation).u32(boot).u32(session).u64(position).done();
    }
    case 'mark': {
      const { mark, generation, boot, session } = message;
      return write(13).u8(MARKS.indexOf(mark)).u32(generation).u32(boot).u32(session).done();
    }
    case 'released':
      return write(8).u64(message.sequence).done();
    case 'ack': {
      const { stream, generation, session, through, applied, position, virtualNs } = message;
      const head = write(44).u32(stream).u32(generation).u32(session);
      return head.count(through).count(applied).u64(position).u64(virtualNs).done();
    }
    case 'want': {
      const { boot, session, facts } = message;
      const bases = message.bases.slice(0, BASES_MAX);
      const words = Buffer.from(message.forgotten).subarray(0, 255);
      const head = write(10 + 8 * bases.length + words.length + facts.length)
        .u32(boot)
        .u32(session);
      head.u8(bases.length);
      for (const base of bases) head.count(base);
      return head.u8(words.length).raw(words).raw(facts).done();
    }
    case 'base': {
      const { step, session, base } = message;
      return write(13).u8(BASE_STEPS.indexOf(step)).u32(session).count(base).done();
    }
    case 'refuse':
      return encodeRefuse(message.session, message.reasons.slice(0, REASONS_MAX));
    case 'synced':
      return write(8).u32(message.stream).u32(message.session).done();
    case 'drop': {
      const words = Buffer.from(message.reason);
      return write(4 + words.length)
        .u32(message.session)
        .raw(words)
        .done();
    }
    case 'look': {
      const { session, id, disk, first } = message;
      return write(13).u32(session).u32(id).u8(disk).u32(first).done();
    }
    case 'about':
      return write(message.about.length).raw(message.about).done();
    case 'heard':
      return write(message.heard.length).raw(message.heard).done();
    case 'clock-ask':
      return write(8).u64(message.askedNs).done();
    case 'clock': {
      const { askedNs, receivedNs, answeredNs } = message;
      return write(24).u64(askedNs).u64(receivedNs).u64(answeredNs).done();
    }
  }
}

function encodeRefuse(session: number, reasons: readonly string[]): Uint8Array {
  const words = reasons.map((reason) => Buffer.from(reason));
  const bytes = words.reduce((sum, { length }) => sum + 2 + length, 0);
  const writer = new FieldWriter(6 + bytes).u8(LOG_TYPE.refuse).u32(session).u8(words.length);
  for (const word of words) writer.u16(word.length).raw(word);
  return writer.done();
}

export function decodeLogMessage(bytes: Uint8Array): Decoded<LogMessage> {
  if (bytes.length === 0) return { ok: false, reason: 'empty' };
  const fields = new FieldReader(bytes, 1);
  const message = readLogMessage(bytes[0] as number, fields);
  return checked(message, fields);
}

function readLogMessage(type: number, fields: FieldReader): LogMessage | MessageProblem {
  switch (type) {
    case LOG_TYPE.statement:
      return { type: 'statement', frame: fields.rest() };
    case LOG_TYPE.log:
      return { type: 'log', bytes: fields.rest() };
    case LOG_TYPE.begin: {
      const [stream, generation] = [fields.u32(), fields.u32()];
      const [boot, session, position] = [fields.u32(), fields.u32(), fields.u64()];
      return { type: 'begin', stream, generation, boot, session, position };
    }
    case LOG_TYPE.mark: {
      const mark = MARKS[fields.u8()];
      const [generation, boot, session] = [fields.u32(), fields.u32(), fields.u32()];
      return mark === undefined ? 'value' : { type: 'mark', mark, generation, boot, session };
    }
    case LOG_TYPE.released:
      return { type: 'released', sequence: fields.u64() };
    case LOG_TYPE.ack: {
      const [stream, generation, session] = [fields.u32(), fields.u32(), fields.u32()];
      const [through, applied] = [fields.count(), fields.count()];
      const [position, virtualNs] = [fields.u64(), fields.u64()];
      if (applied > through) return 'value';
      return { type: 'ack', stream, generation, session, through, applied, position, virtualNs };
    }
    case LOG_TYPE.want:
      return readWant(fields);
    case LOG_TYPE.base: {
      const step = BASE_STEPS[fields.u8()];
      const [session, base] = [fields.u32(), fields.count()];
      return step === undefined ? 'value' : { type: 'base', step, session, base };
    }
    case LOG_TYPE.refuse:
      return readRefuse(fields);
    case LOG_TYPE.synced:
      return { type: 'synced', stream: fields.u32(), session: fields.u32() };
    case LOG_TYPE.drop:
      return { type: 'drop', session: fields.u32(), reason: text(fields.rest()) };
    case LOG_TYPE.look: {
      const [session, id, disk, first] = [fields.u32(), fields.u32(), fields.u8(), fields.u32()];
      return { type: 'look', session, id, disk, first };
    }
    case LOG_TYPE.about:
      return { type: 'about', about: fields.rest() };
    case LOG_TYPE.heard:
      return { type: 'heard', heard: fields.rest() };
    case LOG_TYPE['clock-ask']:
      return { type: 'clock-ask', askedNs: fields.u64() };
    case LOG_TYPE.clock: {
      const [askedNs, receivedNs, answeredNs] = [fields.u64(), fields.u64(), fields.u64()];
      return { type: 'clock', askedNs, receivedNs, answeredNs };
    }
    default:
      return 'type';
  }
}

function readWant(fields: FieldReader): LogMessage | MessageProblem {
  const [boot, session, count] = [fields.u32(), fields.u32(), fields.u8()];
  if (count > BASES_MAX) return 'value';
  const bases = Array.from({ length: count }, () => fields.count());
  const forgotten = text(fields.raw(fields.u8()));
  return { type: 'want', boot, session, bases, forgotten, facts: fields.rest() };
}

function readRefuse(fields: FieldReader): LogMessage | MessageProblem {
  const session = fields.u32();
  const count = fields.u8();
  if (count > REASONS_MAX) return 'value';
  const reasons: string[] = [];
  for (let i = 0; i < count && fields.ok; i++) reasons.push(text(fields.raw(fields.u16())));
  return { type: 'refuse', session, reasons };
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');

// Two ends of the log channel, two faulty lines a path and one clock, all from one seed. The world checks
// after every event what must never happen; a schedule (logchan-schedules.ts) decides what does.
import type { CipherFactory, FrameCipher } from '../../logchan/cipher.ts';
import { type ChannelEvent, Endpoint } from '../../logchan/endpoint.ts';
import { FaultyLine } from '../../logchan/faulty-line.ts';
import type { DirectionKey } from '../../logchan/keys.ts';
import { IN_FLIGHT_FRAMES_MAX, TAG_BYTES } from '../../logchan/limits.ts';
import type { MessageSource } from '../../logchan/receiver.ts';
import { LANE, LANES, type Lane } from '../../logchan/sections.ts';
import type { Haste } from '../../logchan/sender.ts';
import type { SessionBuffers } from '../../logchan/session.ts';
import { HEADER_BYTES, KIND } from '../../logchan/wire.ts';
import { assert, type SeededRandom } from '../harness/index.ts';

export type SideIndex = 0 | 1;
export const SIDES: readonly SideIndex[] = [0, 1];
const other = (side: SideIndex): SideIndex => (side === 0 ? 1 : 0);

/** What one side appended and the other received, of one session and lane. */
interface Stream {
  /** Serial number of each message appended; its contents follow from it. */
  appended: number[];
  received: number;
  taken: number;
}

const PAIRING_KEY = new Uint8Array(32).fill(7);

/** Contents of an message: its length is part of the serial, every byte depends on all of it. */
export function messageBytes(serial: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = Math.imul(serial + 1, 0x9e3779b1) ^ length;
  for (let i = 0; i < length; i++) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + i;
    bytes[i] = state >>> 11;
  }
  return bytes;
}

/** A cipher for speed, not secrecy: it notices every altered bit, and a counter used twice. */
class QuickCipher implements FrameCipher {
  private readonly seed: number;
  private lastSealed = 0;

  constructor({ key, direction }: DirectionKey, used: Set<string>, sealing: boolean) {
    this.seed = hash(key, 0, key.length, direction);
    const name = `${sealing} ${Buffer.from(key).toString('hex')}`;
    assert.not.ok(used.has(name), 'a key was made twice');
    used.add(name);
  }

  seal(counter: number, frame: Uint8Array, plain: Uint8Array, bytes: number): void {
    assert.ok(counter > this.lastSealed, `counter ${counter} after ${this.lastSealed}`);
    this.lastSealed = counter;
    frame.set(plain.subarray(0, bytes), HEADER_BYTES);
    this.tag(counter, frame, 0, HEADER_BYTES + bytes, frame, HEADER_BYTES + bytes);
  }

  open(counter: number, frame: Uint8Array, start: number, end: number, plain: Uint8Array): number {
    const tagAt = end - TAG_BYTES;
    if (tagAt < start + HEADER_BYTES) return -1;
    const tag = new Uint8Array(TAG_BYTES);
    this.tag(counter, frame, start, tagAt, tag, 0);
    for (let i = 0; i < TAG_BYTES; i++) if (tag[i] !== frame[tagAt + i]) return -1;
    plain.set(frame.subarray(start + HEADER_BYTES, tagAt));
    return tagAt - start - HEADER_BYTES;
  }

  private tag(
    counter: number,
    frame: Uint8Array,
    start: number,
    end: number,
    into: Uint8Array,
    at: number,
  ): void {
    const low = hash(frame, start, end, this.seed ^ counter);
    new DataView(into.buffer, into.byteOffset + at, TAG_BYTES).setUint32(0, low);
    into.fill(0x3c, at + 4, at + TAG_BYTES);
  }
}

function hash(bytes: Uint8Array, start: number, end: number, seed: number): number {
  let value = seed ^ 0x811c9dc5;
  for (let i = start; i < end; i++) {
    value = Math.imul(value ^ (bytes[i] as number), 0x01000193);
    value ^= value >>> 13;
  }
  return value >>> 0;
}

/** What the ports of a path take at both ends. */
type PortSizes = readonly [number, number];

export interface WorldOptions {
  buffers: SessionBuffers;
  frameBytesMax: PortSizes;
  /** Paths beside the first. */
  more?: readonly { frameBytesMax: PortSizes; rateBytesPerSecond?: number }[];
  /** The real cipher costs ten times as much and is tried on some schedules. */
  makeCipher?: CipherFactory;
  /** Frames are recorded for attack(). */
  attacked?: boolean;
  /** Sees every frame sent. The quick cipher leaves bodies readable. */
  watch?: (side: SideIndex, frame: Uint8Array, nowUs: number, path: number) => void;
}

export class World {
  nowUs = 0;
  /** Of each path, what carries frames from a side; `lines` are the first path's. */
  readonly paths: readonly (readonly [FaultyLine, FaultyLine])[];
  readonly lines: readonly [FaultyLine, FaultyLine];
  readonly ends: [Endpoint, Endpoint];
  /** Named by session, of what the side appended. */
  readonly streams: [Map<number, [Stream, Stream]>, Map<number, [Stream, Stream]>];
  readonly events: { side: SideIndex; event: ChannelEvent }[] = [];
  /** A board does nothing before this time: it is busy with something else. */
  readonly busyUntilUs: [number, number] = [0, 0];
  /** How late timers fire and frames are picked up, at most. */
  latenessUs = 0;
  /** By side and path. */
  private readonly carriers: boolean[][];
  /** Session, sender and counter of every sealed frame sent: no two alike, over whatever path. */
  private readonly nonces = new Set<string>();
  private readonly random: SeededRandom;
  private readonly options: WorldOptions;
  private readonly sessions: [number, number] = [0, 0];
  private readonly frame = new Uint8Array(9000);
  private serial = 0;
  private readonly keysUsed = new Set<string>();
  /** What an attacker on the wire has recorded, and may repeat at any time, to either side. */
  private readonly recorded: Uint8Array[] = [];
  /** Sessions both sides have announced since the last restart: nothing else may end them. */
  private readonly firm = new Map<number, Set<SideIndex>>();

  constructor(random: SeededRandom, options: WorldOptions) {
    this.random = random;
    this.options = options;
    this.lines = [new FaultyLine(random), new FaultyLine(random)];
    const more = (options.more ?? []).map(
      () => [new FaultyLine(random), new FaultyLine(random)] as const,
    );
    this.paths = [this.lines, ...more];
    this.carriers = SIDES.map(() => this.paths.map(() => true));
    this.streams = [new Map(), new Map()];
    this.ends = [this.makeEnd(0), this.makeEnd(1)];
  }

  private makeEnd(side: SideIndex): Endpoint {
    const keys = { count: 0 };
    const quick: CipherFactory = (key) =>
      new QuickCipher(key, this.keysUsed, keys.count++ % 2 === 0);
    return new Endpoint(
      {
        pairingKey: PAIRING_KEY,
        cluster: 'simulated',
        random: (count) => this.random.bytes(count),
        paths: this.portSizes.map(({ frameBytesMax, ...rest }) => ({
          ...rest,
          frameBytesMax: frameBytesMax[side],
        })),
        buffers: this.options.buffers,
        makeCipher: this.options.makeCipher ?? quick,
      },
      this.nowUs,
    );
  }

  private get portSizes() {
    return [{ frameBytesMax: this.options.frameBytesMax }, ...(this.options.more ?? [])];
  }

  /** A cable is pulled or plugged in: both ends see the carrier go, or one alone does. */
  link(path: number, up: boolean, sides: readonly SideIndex[] = SIDES): void {
    for (const side of sides) {
      const carriers = this.carriers[side] as boolean[];
      carriers[path] = up;
      this.ends[side].linkChanged(path, up, this.nowUs);
      this.takeEvents(side);
    }
  }

  /** Nothing passes on a path, in one direction or both, and no end is told. */
  cut(path: number, isCut: boolean, sides: readonly SideIndex[] = SIDES): void {
    for (const side of sides) {
      const line = (this.paths[path] as readonly FaultyLine[])[side] as FaultyLine;
      line.faults = { ...line.faults, cut: isCut };
    }
  }

  /** The board loses its memory and starts again. */
  restart(side: SideIndex): void {
    this.ends[side] = this.makeEnd(side);
    this.carriers[side]?.forEach((up, path) => {
      if (!up) this.ends[side].linkChanged(path, false, this.nowUs);
    });
    this.sessions[side] = 0;
    this.firm.clear();
  }

  /** The board says goodbye before it restarts. */
  leave(side: SideIndex): void {
    this.firm.clear();
    this.ends[side].close();
    this.takeEvents(side);
    this.flush(side);
    this.restart(side);
  }

  /** Somebody on the wire repeats a frame, perhaps altered, perhaps back to where it came from. */
  attack(side: SideIndex): void {
    if (this.recorded.length === 0) return;
    const bytes = this.random.pick(this.recorded).slice();
    if (this.random.chance(0.3)) bytes[this.random.int(bytes.length)] = this.random.int(256);
    this.ends[side].receive(this.random.int(this.paths.length), bytes, 0, bytes.length, this.nowUs);
    this.takeEvents(side);
    this.noteReceived(side);
    this.flush(side);
    this.check(side);
  }

  /** Appends one message if there is room; whether there was. */
  append(side: SideIndex, lane: Lane, length: number, haste: Haste): boolean {
    const end = this.ends[side];
    if (!end.fits(lane, length)) return false;
    const stream = this.stream(side, this.sessions[side], lane);
    const serial = this.serial++ * 0x20_0000 + length;
    const index = end.append(lane, messageBytes(serial, length), haste, this.nowUs);
    stream.appended.push(serial);
    assert.is(index, stream.appended.length, 'messages are numbered from 1');
    return true;
  }

  /** Takes up to `count` messages out of the side's end, demanding each to be the right one. */
  take(side: SideIndex, lane: Lane, count: number): number {
    const stream = this.stream(other(side), this.sessions[side], lane);
    const source = { take: () => this.ends[side].take(lane) };
    return this.drain(source, stream, count);
  }

  private drain(source: MessageSource, stream: Stream, count: number): number {
    let taken = 0;
    for (; taken < count; taken++) {
      const message = source.take();
      if (message === undefined) break;
      const serial = stream.appended[stream.taken++];
      assert.ok(serial !== undefined, 'an message nobody appended');
      const expected = messageBytes(serial, serial % 0x20_0000);
      assert.is(
        Buffer.compare(message, expected),
        0,
        `message ${stream.taken} is not what was sent`,
      );
    }
    return taken;
  }

  private stream(side: SideIndex, session: number, lane: Lane): Stream {
    const streams = this.streams[side];
    let pair = streams.get(session);
    if (pair === undefined) {
      const empty = (): Stream => ({ appended: [], received: 0, taken: 0 });
      pair = [empty(), empty()];
      streams.set(session, pair);
    }
    return pair[lane];
  }

  /** Runs until `untilUs`. */
  run(untilUs: number): void {
    let idleSteps = 0;
    while (true) {
      const nextUs = this.nextUs();
      if (nextUs > untilUs) break;
      idleSteps = nextUs <= this.nowUs ? idleSteps + 1 : 0;
      assert.ok(idleSteps < 10_000, 'the world spins without time passing');
      this.nowUs = Math.max(this.nowUs, nextUs);
      if (this.latenessUs > 0) this.nowUs += this.random.int(this.latenessUs);
      for (const side of SIDES) if (this.nowUs >= this.busyUntilUs[side]) this.turn(side);
    }
    this.nowUs = Math.max(this.nowUs, untilUs);
  }

  private nextUs(): number {
    let nextUs = Number.POSITIVE_INFINITY;
    for (const side of SIDES) {
      // A host's timer cannot fire in the same microsecond it was set in.
      let sideUs = Math.max(this.ends[side].wakeUs(this.nowUs), this.nowUs + 1);
      for (const lines of this.paths) sideUs = Math.min(sideUs, lines[other(side)].arrivalUs());
      nextUs = Math.min(nextUs, Math.max(sideUs, this.busyUntilUs[side]));
    }
    return nextUs;
  }

  /** One turn of a board's event loop: frames in, time-outs, frames out, events. */
  turn(side: SideIndex): void {
    const end = this.ends[side];
    const wasBusy = this.busyUntilUs[side] > 0;
    this.busyUntilUs[side] = 0;
    // Timers come before what has arrived meanwhile, as in an event loop.
    if (wasBusy) end.tick(this.nowUs);
    for (const [path, lines] of this.paths.entries()) {
      const line = lines[other(side)];
      for (let bytes = line.receive(this.nowUs); bytes; bytes = line.receive(this.nowUs)) {
        // Without a carrier nothing comes out of a line.
        if (this.carriers[side]?.[path] !== true) continue;
        end.receive(path, bytes, 0, bytes.length, this.nowUs);
        this.takeEvents(side);
        this.noteReceived(side);
      }
    }
    if (end.wakeUs(this.nowUs) <= this.nowUs) end.tick(this.nowUs);
    this.takeEvents(side);
    this.flush(side);
    this.check(side);
  }

  /** Sends what an end has to send. */
  flush(side: SideIndex): void {
    for (const path of this.paths.keys()) this.flushPath(side, path);
  }

  private flushPath(side: SideIndex, path: number): void {
    const end = this.ends[side];
    const line = this.paths[path]?.[side] as FaultyLine;
    const portBytes = this.portSizes[path]?.frameBytesMax[side] ?? 0;
    for (let frames = 0; ; frames++) {
      const bytes = end.write(path, this.frame, this.nowUs);
      if (bytes === 0) return;
      assert.ok(frames < 10_000, 'an end that never stops sending');
      assert.ok(bytes <= portBytes, 'a frame larger than the port takes');
      assert.ok(this.carriers[side]?.[path], 'a frame where there is no carrier');
      this.demandFresh(side);
      line.send(this.frame.subarray(0, bytes), this.nowUs);
      this.options.watch?.(side, this.frame.subarray(0, bytes), this.nowUs, path);
      const place = this.recorded.length < 200 ? this.recorded.length : this.random.int(200);
      if (this.options.attacked) this.recorded[place] = this.frame.slice(0, bytes);
    }
  }

  /** On the line, where it counts: a nonce is used once, whatever the path. */
  private demandFresh(side: SideIndex): void {
    if (this.paths.length === 1 || this.frame[3] !== KIND.sealed) return;
    const nonce = `${side} ${Buffer.from(this.frame.subarray(4, 14)).toString('hex')}`;
    assert.not.ok(this.nonces.has(nonce), `a nonce twice: ${nonce}`);
    this.nonces.add(nonce);
  }

  private takeEvents(side: SideIndex): void {
    for (let event = this.ends[side].takeEvent(); event; event = this.ends[side].takeEvent()) {
      this.events.push({ side, event });
      if (this.events.length > 1000) this.events.shift();
      if (event.type === 'up') this.announced(side, event.session);
      if (event.type !== 'down') continue;
      assert.is.not(event.why, 'protocol');
      const firm = (this.firm.get(this.sessions[side])?.size ?? 0) === SIDES.length;
      assert.not.ok(firm, `a session both boards had announced ended: ${event.why}`);
      // A backup that takes over replays all it holds: that must be all that was acknowledged.
      const session = this.sessions[side];
      for (const lane of LANES) {
        const stream = this.stream(other(side), session, lane);
        this.drain(lane === LANE.log ? event.log : event.bulk, stream, Number.POSITIVE_INFINITY);
        assert.is(stream.taken, stream.received, 'messages received but not given out');
      }
      this.sessions[side] = 0;
    }
  }

  private announced(side: SideIndex, session: number): void {
    this.sessions[side] = session;
    const sides = this.firm.get(session) ?? new Set();
    this.firm.set(session, sides.add(side));
  }

  private noteReceived(side: SideIndex): void {
    const { session } = this.ends[side];
    if (session === undefined) return;
    for (const lane of LANES) {
      const stream = this.stream(other(side), session.name, lane);
      stream.received = Math.max(stream.received, session.in[lane].messagesReceived);
    }
  }

  /** What must hold after every event. */
  private check(side: SideIndex): void {
    const { session } = this.ends[side];
    if (session === undefined) return;
    for (const lane of LANES) {
      const stream = this.stream(side, session.name, lane);
      const sender = session.out[lane];
      assert.ok(sender.ackedThrough <= stream.received, 'acknowledged but never received');
      assert.ok(
        sender.bufferedBytes <= this.options.buffers.send[lane].bytes,
        'a buffer overflows',
      );
      const unacked = sender.appended - sender.ackedThrough;
      assert.ok(unacked <= this.options.buffers.send[lane].messages, 'too many messages');
      const frames = session.out[LANE.log].inFlightFrames + session.out[LANE.bulk].inFlightFrames;
      assert.ok(frames <= IN_FLIGHT_FRAMES_MAX + 1, 'more frames than the peer has slots for');
      assert.ok((sender.inFlightFrames === 0) === (sender.inFlightBytes === 0), 'miscounted');
      const receiver = session.in[lane];
      const waiting = receiver.messagesReceived - receiver.messagesTaken;
      assert.ok(waiting <= this.options.buffers.receive[lane].messages, 'too many messages wait');
    }
  }

  /** Both ends are in one session and everything appended in it has been acknowledged and taken. */
  get settled(): boolean {
    const [a, b] = this.ends;
    if (!a.isUp || !b.isUp || a.session?.name !== b.session?.name) return false;
    return SIDES.every((side) =>
      LANES.every((lane) => {
        const stream = this.stream(side, this.sessions[side], lane);
        const acked = this.ends[side].session?.out[lane].ackedThrough;
        return acked === stream.appended.length && stream.taken === stream.appended.length;
      }),
    );
  }

  /** In one line, for a failing schedule. */
  describe(): string {
    return SIDES.map((side) => {
      const { session, isUp } = this.ends[side];
      if (session === undefined) return `${side}: no session`;
      const lanes = LANES.map((lane) => {
        const { taken, received, appended } = this.stream(side, session.name, lane);
        const { ackedThrough, inFlightBytes, bufferedBytes } = session.out[lane];
        return `${appended.length} appended, ${received} received, ${taken} taken, ${ackedThrough} acked, ${inFlightBytes} in flight of ${bufferedBytes}`;
      });
      return `${side}: ${isUp ? 'up' : 'unconfirmed'} ${lanes.join('; ')}`;
    }).join(' | ');
  }
}

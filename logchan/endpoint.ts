// One end of the channel: meets the peer, runs a session with it, notices when it is silent, gone or
// new. Pure: bytes, time and randomness come in, bytes and events go out, nothing else happens.
//
// There may be several paths to the peer, named by their index, in order of preference. The link is down
// when none has a carrier; the peer is silent when it is heard over none.
//
// The caller: 1. gives every frame to receive(), 2. calls tick() when wakeUs() is due, 3. after each
// of these and after append(), for each path sends what write() returns until it returns 0, 4. takes
// events until there are none. What is up to `ackedThrough` is in the peer's memory.
import { type CipherFactory, NodeCipher } from './cipher.ts';
import { assert } from './errors.ts';
import { Handshake } from './handshake.ts';
import { clusterTag, HelloAuth, sessionKeys } from './keys.ts';
import {
  BULK_BUFFER_BYTES,
  BULK_BUFFER_MESSAGES,
  FRAME_BYTES_BASE,
  FRAME_BYTES_MAX,
  LOG_BUFFER_BYTES,
  LOG_BUFFER_MESSAGES,
  SILENT_US,
} from './limits.ts';
import type { PathChange } from './paths.ts';
import { type DropCounters, type DropReason, dropCounters } from './reasons.ts';
import type { MessageSource } from './receiver.ts';
import { BYE, LANE, type Lane } from './sections.ts';
import type { Haste } from './sender.ts';
import { Session, type SessionBuffers } from './session.ts';
import { emptyHeader, KIND, readHeader, readHello, writeHello } from './wire.ts';

export interface PathOptions {
  /** Largest frame its port takes now; changes come by portSize(). */
  frameBytesMax: number;
  /** What bulk data may use of it. @default no limit */
  rateBytesPerSecond?: number;
}

export interface EndpointOptions {
  pairingKey: Uint8Array;
  cluster: string;
  /** Cryptographically random bytes. */
  random(count: number): Uint8Array;
  /** The paths to the peer, best first. */
  paths: readonly PathOptions[];
  buffers?: SessionBuffers;
  makeCipher?: CipherFactory;
}

/** Why a session ended. In each case the peer's memory of what was acknowledged may be gone. */
export type EndReason =
  | 'peer-restarted' // it answered us with a new nonce
  | 'peer-left' // it said goodbye
  | 'unconfirmed' // it went away while we met
  | 'protocol' // it claimed what cannot be
  | 'closed'; // we said goodbye

/** What makes two boards refuse each other; each shows as an event once until something changes. */
export type RefusalReason = Extract<DropReason, 'version' | 'cluster' | 'key'>;

export type ChannelEvent =
  | { type: 'up'; session: number; path: number; peerFrameBytesMax: number }
  /** The first frame of the session that came over this path. */
  | { type: 'joined'; path: number }
  /**
   * `log` and `bulk` still hold messages received whole and not taken: a backup that takes over
   * needs them all. Of our own, those up to `ackedThrough` were in the peer's memory.
   */
  | { type: 'down'; why: EndReason; ackedThrough: number; log: MessageSource; bulk: MessageSource }
  | { type: 'silent'; sinceUs: number }
  | { type: 'heard'; silentUs: number }
  | { type: 'refused'; why: RefusalReason }
  | { type: 'path'; frameBytes: number; portsFrameBytes: number }
  /** Of a channel with several paths: one is lost, answers again, or carries what we send from now on. */
  | PathChange
  /** Whether any path has a carrier. */
  | { type: 'link'; up: boolean };

export const DEFAULT_BUFFERS: SessionBuffers = {
  send: [
    { bytes: LOG_BUFFER_BYTES, messages: LOG_BUFFER_MESSAGES },
    { bytes: BULK_BUFFER_BYTES, messages: BULK_BUFFER_MESSAGES },
  ],
  receive: [
    { bytes: LOG_BUFFER_BYTES, messages: LOG_BUFFER_MESSAGES },
    { bytes: BULK_BUFFER_BYTES, messages: BULK_BUFFER_MESSAGES },
  ],
};

export class Endpoint {
  readonly drops: DropCounters = dropCounters();
  session: Session | undefined;
  private readonly options: Required<Omit<EndpointOptions, 'cluster'>> & { cluster: Uint8Array };
  private readonly auth: HelloAuth;
  private readonly handshake: Handshake;
  private readonly header = emptyHeader();
  private readonly events: ChannelEvent[] = [];
  private readonly refusals = new Set<RefusalReason>();
  /** The session is announced: both boards have its keys. */
  private announced = false;
  private silent = false;
  private silentSinceUs = 0;
  /** Which paths have a carrier; and of the session: over which something came. */
  private readonly carriers: boolean[];
  private readonly joined: boolean[];
  /** What the peer's ports take, as far as it said so over the path. */
  private readonly peerFrameBytesMax: (number | undefined)[];
  private linkIsUp = true;
  private pathBytes = 0;
  private closed = false;

  constructor(options: EndpointOptions, nowUs: number) {
    const cluster = clusterTag(options.cluster);
    const { paths, random } = options;
    assert(paths.length > 0, 'a channel without a path');
    const frameBytesMax = paths.map((path) => path.frameBytesMax);
    const fits = frameBytesMax.every((bytes) => bytes >= FRAME_BYTES_BASE);
    assert(fits, 'the port takes no frame of base size');
    this.options = {
      buffers: DEFAULT_BUFFERS,
      makeCipher: (key) => new NodeCipher(key),
      ...options,
      cluster,
    };
    this.auth = new HelloAuth(options.pairingKey);
    this.handshake = new Handshake({ cluster, frameBytesMax, random }, nowUs);
    this.carriers = paths.map(() => true);
    this.joined = paths.map(() => false);
    this.peerFrameBytesMax = paths.map(() => undefined);
  }

  /** The frame in bytes[start, end), which came over a path. */
  receive(path: number, bytes: Uint8Array, start: number, end: number, nowUs: number): void {
    if (this.closed) return;
    const reason = this.dispatch(path, bytes, start, end, nowUs);
    if (reason !== undefined) this.drop(reason);
    this.afterInput(nowUs);
  }

  private dispatch(
    path: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    nowUs: number,
  ): DropReason | undefined {
    const { header, session } = this;
    const reason = readHeader(bytes, start, end, header);
    if (reason !== undefined) return reason;
    if (header.kind === KIND.hello) return this.receiveHello(path, bytes, nowUs);
    if (session === undefined || header.session !== session.name) return 'session';
    const refused = session.receive(path, bytes, start, header, nowUs);
    if (refused !== undefined) return refused;
    if (!this.announced) this.announce(path);
    else if (!this.joined[path]) {
      this.joined[path] = true;
      this.events.push({ type: 'joined', path });
    }
    return session.refused;
  }

  private receiveHello(path: number, bytes: Uint8Array, nowUs: number): DropReason | undefined {
    const verify = (signed: Uint8Array, mac: Uint8Array) => this.auth.verify(signed, mac);
    const hello = readHello(bytes, this.header, this.options.cluster, verify);
    if (typeof hello === 'string') return hello;
    const outcome = this.handshake.receive(path, hello, nowUs);
    if (typeof outcome === 'object') return outcome.dropped;
    this.peerFrameBytesMax[path] = hello.frameBytesMax;
    this.refusals.clear();
    if (outcome === 'established') this.establish(path, nowUs);
    if (this.handshake.meeting?.confirmed && !this.announced) this.announce(path);
    return undefined;
  }

  private establish(active: number, nowUs: number): void {
    const { meeting } = this.handshake;
    assert(meeting !== undefined, 'established without a meeting');
    this.endSession('peer-restarted');
    const { pairingKey, cluster, makeCipher, buffers } = this.options;
    const keys = sessionKeys(pairingKey, cluster, meeting);
    const paths = this.options.paths.map(({ rateBytesPerSecond }, path) => ({
      up: this.carriers[path] as boolean,
      frameBytesMax: this.frameBytes(path),
      ...(rateBytesPerSecond !== undefined && { rateBytesPerSecond }),
    }));
    const first = this.carriers[active] ? active : Math.max(0, this.carriers.indexOf(true));
    this.session = new Session({ keys, makeCipher, buffers, paths, active: first }, nowUs);
    this.pathBytes = this.session.paths.active.size.bytes;
  }

  /** What ports on both ends take; where the peer's is not known, probing will tell. */
  private frameBytes(path: number): number {
    const bytes = this.handshake.frameBytesMax(path);
    return Math.min(bytes, this.peerFrameBytesMax[path] ?? bytes, FRAME_BYTES_MAX);
  }

  private announce(path: number): void {
    const { meeting } = this.handshake;
    assert(this.session !== undefined && meeting !== undefined, 'nothing to announce');
    if (!meeting.confirmed) this.handshake.confirm();
    this.announced = true;
    this.joined.fill(false);
    this.joined[path] = true;
    this.events.push({
      type: 'up',
      session: this.session.name,
      path,
      peerFrameBytesMax: meeting.peerFrameBytesMax,
    });
  }

  private endSession(why: EndReason): void {
    const { session } = this;
    if (session === undefined) return;
    this.session = undefined;
    this.withdraw(session, why);
  }

  /** What was never announced does not end either. */
  private withdraw(session: Session, why: EndReason): void {
    if (this.announced) {
      const { ackedThrough } = session.out[LANE.log];
      const [log, bulk] = session.in;
      this.events.push({ type: 'down', why, ackedThrough, log, bulk });
    }
    this.announced = false;
    this.silent = false;
  }

  /** Time has passed. */
  tick(nowUs: number): void {
    if (this.closed) return;
    if (this.handshake.tick(nowUs)) this.endSession('unconfirmed');
    const { session } = this;
    if (session !== undefined) {
      session.tick(nowUs);
      if (!this.silent && this.announced && nowUs >= session.heardUs + SILENT_US) {
        this.silent = true;
        this.silentSinceUs = session.heardUs;
        this.events.push({ type: 'silent', sinceUs: session.heardUs });
      }
    }
    this.afterInput(nowUs);
  }

  private afterInput(nowUs: number): void {
    const { session } = this;
    if (session === undefined) return;
    if (this.silent && session.heardUs > this.silentSinceUs) {
      this.silent = false;
      this.events.push({ type: 'heard', silentUs: session.heardUs - this.silentSinceUs });
    }
    this.tellOfPaths(session);
    if (session.outcome === undefined) return;
    this.endSession(session.outcome === 'bye' ? 'peer-left' : 'protocol');
    this.handshake.end(nowUs);
  }

  private tellOfPaths({ paths }: Session): void {
    if (!this.announced) return;
    if (paths.changes.length > 0) this.events.push(...paths.changes.splice(0));
    const { bytes, limitBytes } = paths.active.size;
    if (bytes === this.pathBytes) return;
    this.pathBytes = bytes;
    this.events.push({ type: 'path', frameBytes: bytes, portsFrameBytes: limitBytes });
  }

  private drop(reason: DropReason): void {
    this.drops[reason]++;
    if (reason !== 'version' && reason !== 'cluster' && reason !== 'key') return;
    // While a session stands, strangers on the segment are counted and no more.
    if (this.session !== undefined || this.refusals.has(reason)) return;
    this.refusals.add(reason);
    this.events.push({ type: 'refused', why: reason });
  }

  /** When tick() has something to do, if nothing else happens. */
  wakeUs(nowUs: number): number {
    if (this.closed) return Number.POSITIVE_INFINITY;
    if (!this.linkIsUp) return this.silentWakeUs();
    const sessionUs = this.session?.wakeUs(nowUs) ?? Number.POSITIVE_INFINITY;
    return Math.min(sessionUs, this.handshake.wakeUs(), this.silentWakeUs());
  }

  private silentWakeUs(): number {
    if (this.session === undefined || this.silent) return Number.POSITIVE_INFINITY;
    return this.session.heardUs + SILENT_US;
  }

  /** Writes the next frame to send now over a path into `into`; its length, or 0 when there is none. */
  write(path: number, into: Uint8Array, nowUs: number): number {
    if (!this.carriers[path]) return 0;
    if (!this.closed) {
      const hello = this.handshake.next(path, nowUs);
      if (hello !== undefined) return writeHello(into, hello, (signed) => this.auth.sign(signed));
    }
    return this.session?.write(path, into, nowUs) ?? 0;
  }

  takeEvent(): ChannelEvent | undefined {
    return this.events.shift();
  }

  get hasEvents(): boolean {
    return this.events.length > 0;
  }

  /** Messages and bulk data can be appended: both boards are in a session. */
  get isUp(): boolean {
    return this.announced;
  }

  /** Whether a message of this size can be appended to the lane now. */
  fits(lane: Lane, messageBytes: number): boolean {
    return this.announced && this.lane(lane).fits(messageBytes);
  }

  /** The message's index in this session, from 1. */
  append(lane: Lane, message: Uint8Array, haste: Haste, nowUs: number): number {
    return this.lane(lane).append(message, haste, nowUs);
  }

  /** Messages of this session that are received and safe in the peer's memory. */
  get ackedThrough(): number {
    return this.session?.out[LANE.log].ackedThrough ?? 0;
  }

  get bulkAckedThrough(): number {
    return this.session?.out[LANE.bulk].ackedThrough ?? 0;
  }

  /** Whole messages received in this session, on both lanes together. */
  get messagesReceived(): number {
    const lanes = this.session?.in;
    return lanes === undefined ? 0 : lanes[0].messagesReceived + lanes[1].messagesReceived;
  }

  /** So much was taken that the peer should hear of the room. */
  get owesCredit(): boolean {
    return this.session?.owesCredit ?? false;
  }

  /** The next message from the peer, or undefined; in `into`, where it fits. */
  take(lane: Lane, into?: Uint8Array): Uint8Array | undefined {
    return this.announced ? this.session?.in[lane].take(into) : undefined;
  }

  private lane(lane: Lane) {
    assert(this.session !== undefined && this.announced, 'append without a session');
    return this.session.out[lane];
  }

  linkChanged(path: number, up: boolean, nowUs: number): void {
    if (up === this.carriers[path]) return;
    this.carriers[path] = up;
    this.handshake.linkChanged(path, up);
    this.session?.linkChanged(path, up, nowUs);
    if (this.session === undefined && !up && this.carriers.length > 1) {
      this.events.push({ type: 'path-lost', path, why: 'carrier' });
    }
    const linkIsUp = this.carriers.includes(true);
    if (linkIsUp !== this.linkIsUp) {
      this.linkIsUp = linkIsUp;
      this.events.push({ type: 'link', up: linkIsUp });
    }
    this.afterInput(nowUs);
  }

  /** A port takes frames of another size now. */
  portSize(path: number, frameBytesMax: number, nowUs: number): void {
    const bytes = Math.max(FRAME_BYTES_BASE, frameBytesMax);
    this.handshake.portSize(path, bytes);
    this.session?.paths.all[path]?.size.setLimit(this.frameBytes(path), nowUs);
  }

  /** Says goodbye: write() still returns the farewell, then nothing any more. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    if (this.session === undefined) return;
    this.session.sayBye(BYE.closing);
    this.withdraw(this.session, 'closed');
  }
}

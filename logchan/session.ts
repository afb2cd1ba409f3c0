// One session between two boards that have met: opens and seals frames, runs both lanes, measures the
// paths, decides what leaves next, and over which. Pure: it is told the time, given frames, and asked for
// frames.
//
// What leaves over a path that carries (`paths.ts` says which), in this order: farewell; copies of what went
// over others; messages that were lost or that an output waits for; other messages; bulk data, within a
// window small enough not to delay messages; acknowledgements on any of these or alone; a probe of the
// path's size; a keepalive with the full state. Over the others: answers, and a question now and then.
//
// Acknowledgements go back over the path on which came what they answer, so a path is one that works both
// ways. Counters are the session's: no two frames share one, whatever their paths.
import type { CipherFactory } from './cipher.ts';
import type { SessionKeys } from './keys.ts';
import { BULK_ACK_FRAMES, BULK_ACK_US, LOG_ACK_FRAMES, LOG_ACK_US } from './limits.ts';
import { Outgoing } from './outgoing.ts';
import { Paths } from './paths.ts';
import type { DropReason } from './reasons.ts';
import { LaneReceiver } from './receiver.ts';
import { SealedFrames } from './sealed-frames.ts';
import {
  ASK_BYTES,
  type Body,
  emptyAck,
  emptyBody,
  LANE,
  LANES,
  type Lane,
  readBody,
  writeAck,
  writeAsk,
  writeBye,
  writeProbe,
  writeProbed,
  writeSeen,
} from './sections.ts';
import type { DataFrame, LaneBuffer, LaneSender } from './sender.ts';
import { SessionPath, type SessionPathOptions } from './session-path.ts';
import { type Header, SEALED_OVERHEAD_BYTES } from './wire.ts';

export interface SessionBuffers {
  send: [log: LaneBuffer, bulk: LaneBuffer];
  receive: [log: LaneBuffer, bulk: LaneBuffer];
}

export interface SessionOptions {
  keys: SessionKeys;
  makeCipher: CipherFactory;
  buffers: SessionBuffers;
  paths: readonly SessionPathOptions[];
  /** The path on which the boards met. */
  active: number;
}

/** What a frame led to beyond its data. */
export type SessionOutcome = 'bye' | 'broken' | undefined;

const FAREWELLS = 3;

export class Session {
  readonly name: number;
  readonly in: readonly [LaneReceiver, LaneReceiver];
  readonly paths: Paths;
  /** When the last authentic frame came. */
  heardUs: number;
  outcome: SessionOutcome;
  /** Why data in an authentic frame was not stored, as of the last receive(). */
  refused: DropReason | undefined;
  private readonly frames: SealedFrames;
  /** The body that is being written or read. */
  private readonly plain: Uint8Array;
  private readonly outgoing: Outgoing;
  private readonly body: Body = emptyBody();
  private readonly ack = emptyAck();
  private readonly frame: DataFrame = { counter: 0, path: 0, sentUs: 0 };
  private farewell = 0;

  constructor(options: SessionOptions, nowUs: number) {
    const { keys, makeCipher, buffers, active } = options;
    this.name = keys.session;
    this.frames = new SealedFrames(keys, makeCipher);
    this.plain = this.frames.plain;
    this.in = [
      new LaneReceiver(buffers.receive[LANE.log]),
      new LaneReceiver(buffers.receive[LANE.bulk]),
    ];
    const paths = options.paths.map((path, index) => new SessionPath(index, path, nowUs));
    this.paths = new Paths(paths, active);
    this.outgoing = new Outgoing(buffers.send, this.paths, nowUs);
    this.heardUs = nowUs;
  }

  get out(): readonly [LaneSender, LaneSender] {
    return this.outgoing.lanes;
  }

  get timeouts(): number {
    return this.outgoing.timeouts;
  }

  get framesSent(): number {
    return this.paths.all.reduce((sum, { framesSent }) => sum + framesSent, 0);
  }

  get framesReceived(): number {
    return this.paths.all.reduce((sum, { framesReceived }) => sum + framesReceived, 0);
  }

  /** The path of this index; the caller knows how many there are. */
  private path(index: number): SessionPath {
    return this.paths.all[index] as SessionPath;
  }

  /** A sealed frame of this session that came over a path; the reason when nothing in it counts. */
  receive(
    over: number,
    bytes: Uint8Array,
    start: number,
    header: Header,
    nowUs: number,
  ): DropReason | undefined {
    const opened = this.frames.open(bytes, start, header);
    if (typeof opened === 'string') return opened;
    const path = this.path(over);
    this.heardUs = nowUs;
    path.heardUs = nowUs;
    path.framesReceived++;
    const reason = readBody(this.plain, opened, this.body);
    // A defect of the peer, or of its memory. As good as lost: what it carried comes again.
    if (reason !== undefined) return reason;
    if (header.counter > path.newest) {
      path.newest = header.counter;
      path.newestAtUs = nowUs;
    }
    this.apply(this.body, path, nowUs);
    return undefined;
  }

  private apply(body: Body, path: SessionPath, nowUs: number): void {
    this.refused = undefined;
    // What says more than an answer to our question: the peer sends over this path.
    if (path.unanswered === 0 && body.acks[LANE.log].present) this.paths.peerUses(path, nowUs);
    if (body.hasSeen) this.applySeen(body, path, nowUs);
    for (const lane of LANES) {
      const ack = body.acks[lane];
      if (ack.present && !this.outgoing.acknowledge(lane, ack, nowUs)) this.outcome = 'broken';
    }
    if (this.outcome === 'broken') return;
    this.outgoing.detectLosses(nowUs);
    for (const lane of LANES) if (body.data[lane].present) this.applyData(lane, path, nowUs);
    if (body.ask) path.owesState = true;
    if (body.probe !== 0) {
      path.probed = body.probe;
      path.owesState = true;
    }
    if (body.probed !== 0) path.size.passed(body.probed);
    if (body.bye !== 0) this.outcome = 'bye';
  }

  private applySeen(body: Body, over: SessionPath, nowUs: number): void {
    const { seenCounter, heldUs } = body;
    const { frames } = this;
    if (seenCounter > frames.counter) {
      this.outcome = 'broken';
      return;
    }
    const isKnown = frames.remembers(seenCounter);
    const path = isKnown ? this.path(frames.sentOver(seenCounter)) : over;
    if (seenCounter <= path.seenByPeer) return;
    path.seenByPeer = seenCounter;
    // What comes back another way says nothing of the way back.
    if (!isKnown || path !== over) return;
    this.paths.answered(path, seenCounter, nowUs);
    const rttUs = nowUs - frames.sentUs(seenCounter) - heldUs;
    path.rtt.sample(rttUs, nowUs);
    path.window.sample(rttUs, path.rtt.lowestUs, seenCounter, frames.counter + 1);
  }

  private applyData(lane: Lane, path: SessionPath, nowUs: number): void {
    const { offset, start, end } = this.body.data[lane];
    const receiver = this.in[lane];
    const refused = receiver.store(offset, this.plain, start, end);
    if (refused !== undefined) this.refused = refused;
    if (receiver.broken || refused === 'credit') this.outcome = 'broken';
    // A gap hurries: the sooner it is known the sooner it is filled.
    if (receiver.hasGaps || refused !== undefined) path.owesState = true;
    const isLog = lane === LANE.log;
    const isEnough = isLog
      ? ++path.logFrames >= LOG_ACK_FRAMES
      : ++path.bulkFrames >= BULK_ACK_FRAMES;
    if (isEnough) path.owesState = true;
    else path.ackUs = Math.min(path.ackUs, nowUs + (isLog ? LOG_ACK_US : BULK_ACK_US));
  }

  /** Time has passed: what was overdue becomes something to send. */
  tick(nowUs: number): void {
    for (const path of this.paths.all) if (nowUs >= path.ackUs) path.owesState = true;
    this.outgoing.tick(nowUs);
    this.outgoing.obey(this.paths.tick(this.frames.counter, nowUs), nowUs);
  }

  /** A path has a carrier now, or none any more. */
  linkChanged(index: number, up: boolean, nowUs: number): void {
    const path = this.path(index);
    const { paths, frames } = this;
    const verdict = up ? paths.linkUp(path, nowUs) : paths.linkDown(path, frames.counter, nowUs);
    this.outgoing.obey(verdict, nowUs);
  }

  /** Says goodbye with the next frames, and nothing after them. */
  sayBye(why: number): void {
    this.farewell = why;
  }

  /** When tick() or write() has something to do, if nothing else happens. */
  wakeUs(nowUs: number): number {
    const { paths } = this;
    const { size } = paths.active;
    let wakeUs = Math.min(this.outgoing.wakeUs(nowUs), size.wakeUs(), paths.wakeUs());
    const keepaliveUs = paths.keepaliveUs(nowUs);
    for (const path of paths.all) {
      wakeUs = Math.min(wakeUs, path.ackUs);
      if (!paths.carries(path)) continue;
      wakeUs = Math.min(wakeUs, path.stateUs + keepaliveUs);
      if (path.copies.length > 0) wakeUs = nowUs;
    }
    return wakeUs;
  }

  /** Writes the next frame to leave now over a path into `into`; its length, or 0. */
  write(over: number, into: Uint8Array, nowUs: number): number {
    const path = this.path(over);
    if (!path.up) return 0;
    if (this.farewell !== 0) return this.writeFarewell(path, into, nowUs);
    const { paths, outgoing, frames } = this;
    if (!paths.carries(path)) return this.writeIdle(path, into, nowUs);
    const room = Math.min(path.size.bytes, into.length) - SEALED_OVERHEAD_BYTES;
    const isDue = nowUs >= path.stateUs + paths.keepaliveUs(nowUs);
    const owes = path.owesState || isDue || this.owesCredit;
    if (outgoing.hasCopies(path)) {
      const stateEnd = owes ? this.writeState(path, nowUs) : 0;
      const at = outgoing.writeCopy(path, this.plain, stateEnd, room);
      return this.seal(path, into, at, true, nowUs);
    }
    const lane = outgoing.laneToSend(path, room, nowUs);
    if (lane === undefined && !owes) return this.writeProbe(path, into, nowUs);
    // With data, an acknowledgement that could wait goes for nothing.
    const tells = owes || path.ackUs !== Number.POSITIVE_INFINITY;
    let at = tells ? this.writeState(path, nowUs) : 0;
    let asks = isDue && paths.wantsAnswer(path, nowUs);
    if (lane !== undefined) {
      asks ||= outgoing.probing;
      this.frame.counter = frames.counter + 1;
      this.frame.path = path.index;
      this.frame.sentUs = nowUs;
      at = outgoing.write(lane, path, this.plain, at, room - ASK_BYTES, this.frame);
      asks ||= lane === LANE.log && this.out[LANE.log].wroteAsks;
    }
    if (asks) at = writeAsk(this.plain, at);
    return this.seal(path, into, at, asks || lane !== undefined, nowUs);
  }

  private writeFarewell(path: SessionPath, into: Uint8Array, nowUs: number): number {
    if (path.farewells === FAREWELLS) return 0;
    path.farewells++;
    return this.seal(path, into, writeBye(this.plain, 0, this.farewell), false, nowUs);
  }

  /** Over a path that carries nothing: answers, and a question when it is time. */
  private writeIdle(path: SessionPath, into: Uint8Array, nowUs: number): number {
    const asks = nowUs >= path.askUs;
    if (!asks && !path.owesState) return 0;
    let at = path.owesState ? this.writeState(path, nowUs) : 0;
    if (asks) {
      at = writeAsk(this.plain, at);
      this.paths.asked(path, nowUs);
    }
    return this.seal(path, into, at, asks, nowUs);
  }

  get owesCredit(): boolean {
    return this.in[LANE.log].owesCredit || this.in[LANE.bulk].owesCredit;
  }

  /**
   * What the peer should know, at the start of a body; returns where the next section goes. Always
   * all of it: what is seen but not acknowledged counts as lost over there.
   */
  private writeState(path: SessionPath, nowUs: number): number {
    let at = 0;
    if (path.newest > 0) {
      at = writeSeen(this.plain, at, path.newest, nowUs - path.newestAtUs);
    }
    for (const lane of LANES) {
      this.in[lane].tell(this.ack);
      at = writeAck(this.plain, at, lane, this.ack);
    }
    if (path.probed !== 0) at = writeProbed(this.plain, at, path.probed);
    path.owesState = false;
    path.logFrames = 0;
    path.bulkFrames = 0;
    path.ackUs = Number.POSITIVE_INFINITY;
    path.stateUs = nowUs;
    path.probed = 0;
    return at;
  }

  private writeProbe(path: SessionPath, into: Uint8Array, nowUs: number): number {
    const frameBytes = path.size.next(path.rtt.smoothedUs, nowUs);
    if (frameBytes === 0 || frameBytes > into.length) return 0;
    const at = writeProbe(this.plain, 0, frameBytes);
    const end = frameBytes - SEALED_OVERHEAD_BYTES;
    this.plain.fill(0, at, end);
    return this.seal(path, into, end, false, nowUs);
  }

  private seal(
    path: SessionPath,
    into: Uint8Array,
    bodyBytes: number,
    wantsAnswer: boolean,
    nowUs: number,
  ): number {
    const frameBytes = this.frames.seal(path, into, bodyBytes, nowUs);
    if (wantsAnswer) path.demand(path.lastCounter, nowUs);
    return frameBytes;
  }
}

// One session between two boards that have met: opens and seals frames, runs both lanes, measures the
// path, decides what leaves next. Pure: it is told the time, given frames, and asked for frames.
//
// What leaves, in this order: farewell; messages that were lost or that an output waits for; other
// messages; bulk data, within a window small enough not to delay messages; acknowledgements on any of
// these or alone; a probe of the path's size; a keepalive with the full state.
import type { CipherFactory, FrameCipher } from './cipher.ts';
import type { SessionKeys } from './keys.ts';
import {
  BULK_ACK_FRAMES,
  BULK_ACK_US,
  FRAME_BYTES_MAX,
  IN_FLIGHT_FRAMES_MAX,
  KEEPALIVE_US,
  LOG_RESERVE_BYTES,
  TAG_BYTES,
} from './limits.ts';
import { PathSize } from './path-size.ts';
import type { DropReason } from './reasons.ts';
import { LaneReceiver } from './receiver.ts';
import { ReplayWindow } from './replay-window.ts';
import { RoundTrip } from './rtt.ts';
import {
  ACK_BYTES,
  ACK_RANGE_BYTES,
  ASK_BYTES,
  type Body,
  emptyAck,
  emptyBody,
  LANE,
  LANES,
  type Lane,
  PROBE_BYTES,
  readBody,
  SEEN_BYTES,
  writeAck,
  writeAsk,
  writeBye,
  writeProbe,
  writeProbed,
  writeSeen,
} from './sections.ts';
import { type LaneBuffer, LaneSender } from './sender.ts';
import { Pacer, Window } from './window.ts';
import { type Header, KIND, SEALED_OVERHEAD_BYTES, writeHeader } from './wire.ts';

export interface SessionBuffers {
  send: [log: LaneBuffer, bulk: LaneBuffer];
  receive: [log: LaneBuffer, bulk: LaneBuffer];
}

export interface SessionOptions {
  keys: SessionKeys;
  makeCipher: CipherFactory;
  buffers: SessionBuffers;
  /** What ports on both ends take. */
  frameBytesMax: number;
}

/** What a frame led to beyond its data. */
export type SessionOutcome = 'bye' | 'broken' | undefined;

/** Send times are remembered for so many frames; a longer round trip is not measured. */
const SENT_TIMES = 8192;
const FAREWELLS = 3;

export class Session {
  readonly name: number;
  readonly out: readonly [LaneSender, LaneSender];
  readonly in: readonly [LaneReceiver, LaneReceiver];
  readonly rtt = new RoundTrip();
  readonly path: PathSize;
  readonly window = new Window();
  /** When the last authentic frame came. */
  heardUs: number;
  framesSent = 0;
  framesReceived = 0;
  timeouts = 0;
  outcome: SessionOutcome;
  /** Why data in an authentic frame was not stored, as of the last receive(). */
  refused: DropReason | undefined;
  private readonly sealer: FrameCipher;
  private readonly opener: FrameCipher;
  private readonly replay = new ReplayWindow();
  private readonly pacer = new Pacer();
  private readonly body: Body = emptyBody();
  private readonly ack = emptyAck();
  private readonly plain = new Uint8Array(FRAME_BYTES_MAX);
  private readonly sentUs = new Float64Array(SENT_TIMES);
  /** Counter of the last frame sent, and the newest of ours the peer has seen. */
  private counter = 0;
  private seenByPeer = 0;
  private newestAtUs: number;
  /** The peer waits to hear what we have. */
  private owesState = false;
  private bulkFrames = 0;
  private bulkAckUs = Number.POSITIVE_INFINITY;
  private stateUs: number;
  private newsUs: number;
  private attempt = 0;
  private probing = false;
  private probed = 0;
  private farewells = 0;
  private farewell = 0;

  constructor(options: SessionOptions, nowUs: number) {
    const { keys, makeCipher, buffers, frameBytesMax } = options;
    this.name = keys.session;
    this.sealer = makeCipher(keys.send);
    this.opener = makeCipher(keys.receive);
    this.out = [
      new LaneSender(LANE.log, buffers.send[LANE.log]),
      new LaneSender(LANE.bulk, buffers.send[LANE.bulk]),
    ];
    this.in = [
      new LaneReceiver(buffers.receive[LANE.log]),
      new LaneReceiver(buffers.receive[LANE.bulk]),
    ];
    this.path = new PathSize(Math.min(frameBytesMax, FRAME_BYTES_MAX), nowUs);
    this.heardUs = nowUs;
    this.newestAtUs = nowUs;
    this.newsUs = nowUs;
    // The first state goes at once: it gives credit and confirms the session to the peer.
    this.stateUs = Number.NEGATIVE_INFINITY;
  }

  /** A sealed frame of this session; the reason when nothing in it counts. */
  receive(bytes: Uint8Array, start: number, header: Header, nowUs: number): DropReason | undefined {
    const old = this.replay.refuses(header.counter);
    if (old !== undefined) return old;
    const opened = this.opener.open(header.counter, bytes, start, header.bodyEnd, this.plain);
    if (opened < 0) return 'forged';
    const newest = header.counter > this.replay.newest;
    this.replay.accept(header.counter);
    this.heardUs = nowUs;
    this.framesReceived++;
    const reason = readBody(this.plain, opened, this.body);
    // A defect of the peer, or of its memory. As good as lost: what it carried comes again.
    if (reason !== undefined) return reason;
    if (newest) this.newestAtUs = nowUs;
    this.apply(this.body, nowUs);
    return undefined;
  }

  private apply(body: Body, nowUs: number): void {
    this.refused = undefined;
    if (body.hasSeen) this.applySeen(body, nowUs);
    for (const lane of LANES) if (body.acks[lane].present) this.applyAck(lane, nowUs);
    if (this.outcome === 'broken') return;
    this.detectLosses(nowUs);
    for (const lane of LANES) if (body.data[lane].present) this.applyData(lane, nowUs);
    if (body.ask) this.owesState = true;
    if (body.probe !== 0) {
      this.probed = body.probe;
      this.owesState = true;
    }
    if (body.probed !== 0) this.path.passed(body.probed);
    if (body.bye !== 0) this.outcome = 'bye';
  }

  private applySeen(body: Body, nowUs: number): void {
    const { seenCounter, heldUs } = body;
    if (seenCounter > this.counter) {
      this.outcome = 'broken';
      return;
    }
    if (seenCounter <= this.seenByPeer) return;
    this.seenByPeer = seenCounter;
    if (seenCounter + SENT_TIMES <= this.counter) return;
    const rttUs = nowUs - (this.sentUs[seenCounter % SENT_TIMES] as number) - heldUs;
    this.rtt.sample(rttUs, nowUs);
    this.window.sample(rttUs, this.rtt.lowestUs, seenCounter, this.counter + 1);
  }

  private applyAck(lane: Lane, nowUs: number): void {
    const bytes = this.out[lane].acknowledge(this.body.acks[lane]);
    if (bytes < 0) {
      this.outcome = 'broken';
    } else if (bytes > 0) {
      this.window.delivered(bytes);
      this.attempt = 0;
      this.newsUs = nowUs;
    }
  }

  private detectLosses(nowUs: number): void {
    for (const lane of LANES) {
      const bytes = this.out[lane].detectLosses(this.seenByPeer, nowUs, this.rtt.reorderUs);
      if (bytes > 0) this.window.lost(bytes);
      if (this.out[lane].vanishing) this.path.suspect(nowUs);
      this.out[lane].vanishing = false;
    }
  }

  private applyData(lane: Lane, nowUs: number): void {
    const { offset, start, end } = this.body.data[lane];
    const receiver = this.in[lane];
    const refused = receiver.store(offset, this.plain, start, end);
    if (refused !== undefined) this.refused = refused;
    if (receiver.broken || refused === 'credit') this.outcome = 'broken';
    // Messages are acknowledged at the end of the batch they came in. Bulk data does not hurry, but
    // a gap does: the sooner it is known the sooner it is filled.
    if (lane === LANE.log || receiver.hasGaps || refused !== undefined) {
      this.owesState = true;
    } else if (++this.bulkFrames >= BULK_ACK_FRAMES) {
      this.owesState = true;
    } else {
      this.bulkAckUs = Math.min(this.bulkAckUs, nowUs + BULK_ACK_US);
    }
  }

  /** Time has passed: what was overdue becomes something to send. */
  tick(nowUs: number): void {
    if (nowUs >= this.bulkAckUs) this.owesState = true;
    if (nowUs >= Math.min(this.out[LANE.log].lossUs, this.out[LANE.bulk].lossUs)) {
      this.detectLosses(nowUs);
    }
    if (nowUs >= this.timeoutUs()) this.timeout(nowUs);
  }

  private timeout(nowUs: number): void {
    this.timeouts++;
    this.attempt++;
    this.newsUs = nowUs;
    this.probing = true;
    for (const lane of LANES) this.out[lane].probe();
  }

  private timeoutUs(): number {
    if (this.inFlightBytes === 0) return Number.POSITIVE_INFINITY;
    return this.newsUs + this.rtt.timeoutUs(this.attempt);
  }

  private get inFlightBytes(): number {
    return this.out[LANE.log].inFlightBytes + this.out[LANE.bulk].inFlightBytes;
  }

  /** Of the windows: all of them, when the peer's receive ring could not take more frames. */
  private get windowUsed(): number {
    const [log, bulk] = this.out;
    const frames = log.inFlightFrames + bulk.inFlightFrames;
    return frames < IN_FLIGHT_FRAMES_MAX ? this.inFlightBytes : Number.POSITIVE_INFINITY;
  }

  /** The link is back: what is in flight is gone, and there is news to tell. */
  linkUp(nowUs: number): void {
    this.attempt = 0;
    this.timeout(nowUs);
    this.stateUs = Number.NEGATIVE_INFINITY;
  }

  /** Says goodbye with the next frames, and nothing after them. */
  sayBye(why: number): void {
    this.farewell = why;
  }

  /** When tick() or write() has something to do, if nothing else happens. */
  wakeUs(nowUs: number): number {
    const [log, bulk] = this.out;
    let wakeUs = Math.min(
      this.timeoutUs(),
      this.stateUs + KEEPALIVE_US,
      this.bulkAckUs,
      this.path.wakeUs(),
      log.lossUs,
      bulk.lossUs,
    );
    // What a full window holds back is freed by an acknowledgement or by the time-out, not by time.
    const inFlight = this.windowUsed;
    const logMay = inFlight < this.window.logBytes + LOG_RESERVE_BYTES;
    const bulkMay = inFlight < this.window.bulkBytes;
    if (logMay) wakeUs = Math.min(wakeUs, log.wakeUs());
    if (bulkMay) wakeUs = Math.min(wakeUs, bulk.wakeUs());
    const waits = (logMay && log.sendableBytes() > 0) || (bulkMay && bulk.wantsRepeat);
    if (!this.pacer.open && (waits || (bulkMay && bulk.sendableBytes() > 0))) {
      wakeUs = Math.min(wakeUs, this.pacer.openUs(nowUs));
    }
    return wakeUs;
  }

  /** Writes the next frame to leave now into `into`; its length, or 0. */
  write(into: Uint8Array, nowUs: number): number {
    if (this.farewell !== 0) {
      if (this.farewells === FAREWELLS) return 0;
      this.farewells++;
      return this.seal(into, writeBye(this.plain, 0, this.farewell), nowUs);
    }
    const room = Math.min(this.path.bytes, into.length) - SEALED_OVERHEAD_BYTES;
    const lane = this.laneToSend(room, nowUs);
    const owes = this.owesState || nowUs >= this.stateUs + KEEPALIVE_US || this.owesCredit;
    if (lane === undefined && !owes) return this.writeProbe(into, nowUs);
    let at = owes ? this.writeState(nowUs) : 0;
    if (lane !== undefined) {
      const sender = this.out[lane];
      if (this.probing) at = writeAsk(this.plain, at);
      this.probing = false;
      if (this.inFlightBytes === 0) this.newsUs = nowUs;
      at = sender.write(this.plain, at, room - at, this.counter + 1, nowUs);
    }
    return this.seal(into, at, nowUs);
  }

  /** The lane whose data leaves now, if any. */
  private laneToSend(room: number, nowUs: number): Lane | undefined {
    const [log, bulk] = this.out;
    const inFlight = this.windowUsed;
    const dataRoom = room - STATE_BYTES_MAX;
    this.pacer.refill(this.window.logBytes, this.rtt.smoothedUs, nowUs);
    if (log.wantsRepeat || log.wantsNew(dataRoom, nowUs)) {
      const fits = inFlight < this.window.logBytes + LOG_RESERVE_BYTES;
      if (!fits) this.window.full(false);
      if (this.probing || (fits && (this.pacer.open || log.isUrgent))) return LANE.log;
    }
    if (bulk.wantsRepeat || bulk.wantsNew(dataRoom, nowUs)) {
      const fits = inFlight < this.window.bulkBytes;
      if (!fits) this.window.full(true);
      if ((this.probing && bulk.wantsRepeat) || (fits && this.pacer.open)) return LANE.bulk;
    }
    return undefined;
  }

  get owesCredit(): boolean {
    return this.in[LANE.log].owesCredit || this.in[LANE.bulk].owesCredit;
  }

  /**
   * What the peer should know, at the start of a body; returns where the next section goes. Always
   * all of it: what is seen but not acknowledged counts as lost over there.
   */
  private writeState(nowUs: number): number {
    let at = 0;
    if (this.replay.newest > 0) {
      at = writeSeen(this.plain, at, this.replay.newest, nowUs - this.newestAtUs);
    }
    for (const lane of LANES) {
      this.in[lane].tell(this.ack);
      at = writeAck(this.plain, at, lane, this.ack);
    }
    if (this.probed !== 0) at = writeProbed(this.plain, at, this.probed);
    this.owesState = false;
    this.bulkFrames = 0;
    this.bulkAckUs = Number.POSITIVE_INFINITY;
    this.stateUs = nowUs;
    this.probed = 0;
    return at;
  }

  private writeProbe(into: Uint8Array, nowUs: number): number {
    const frameBytes = this.path.next(this.rtt.smoothedUs, nowUs);
    if (frameBytes === 0 || frameBytes > into.length) return 0;
    const at = writeProbe(this.plain, 0, frameBytes);
    const end = frameBytes - SEALED_OVERHEAD_BYTES;
    this.plain.fill(0, at, end);
    return this.seal(into, end, nowUs);
  }

  private seal(into: Uint8Array, bodyBytes: number, nowUs: number): number {
    const counter = ++this.counter;
    const sealedBytes = bodyBytes + TAG_BYTES;
    writeHeader(into, KIND.sealed, this.name, counter, sealedBytes);
    this.sealer.seal(counter, into, this.plain, bodyBytes);
    const frameBytes = bodyBytes + SEALED_OVERHEAD_BYTES;
    this.sentUs[counter % SENT_TIMES] = nowUs;
    this.pacer.sent(frameBytes);
    this.framesSent++;
    return frameBytes;
  }
}

const RANGES_USUAL = 4;
/** Kept free of data so that state fits into a data frame; more ranges make a frame of their own. */
const STATE_BYTES_MAX =
  SEEN_BYTES + 2 * (ACK_BYTES + RANGES_USUAL * ACK_RANGE_BYTES) + PROBE_BYTES + ASK_BYTES;

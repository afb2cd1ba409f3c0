// What a session sends of both lanes: what is under way, which lane goes next over which path, and what goes
// again. Pure; `paths.ts` decides over which path.
import { IN_FLIGHT_FRAMES_MAX, LOG_ACK_US, LOG_RESERVE_BYTES, PATH_COPIES_MAX } from './limits.ts';
import type { Paths, Verdict } from './paths.ts';
import {
  ACK_BYTES,
  ACK_RANGE_BYTES,
  type Ack,
  ASK_BYTES,
  DATA_BYTES,
  LANE,
  LANES,
  type Lane,
  PROBE_BYTES,
  SEEN_BYTES,
} from './sections.ts';
import { type DataFrame, type LaneBuffer, LaneSender } from './sender.ts';
import type { SessionPath, StreamRange } from './session-path.ts';

const RANGES_USUAL = 4;
/** Kept free of data so that state fits into a data frame; more ranges make a frame of their own. */
const STATE_BYTES_MAX =
  SEEN_BYTES + 2 * (ACK_BYTES + RANGES_USUAL * ACK_RANGE_BYTES) + PROBE_BYTES + ASK_BYTES;

export class Outgoing {
  readonly lanes: readonly [LaneSender, LaneSender];
  timeouts = 0;
  /** A time-out has passed: what goes next asks for an answer. */
  probing = false;
  private readonly paths: Paths;
  private newsUs: number;
  private attempt = 0;

  constructor(buffers: readonly [LaneBuffer, LaneBuffer], paths: Paths, nowUs: number) {
    this.lanes = [
      new LaneSender(LANE.log, buffers[LANE.log]),
      new LaneSender(LANE.bulk, buffers[LANE.bulk]),
    ];
    this.paths = paths;
    this.newsUs = nowUs;
  }

  /** Takes in what the peer says it has; false: it claims what cannot be. */
  acknowledge(lane: Lane, ack: Ack, nowUs: number): boolean {
    const bytes = this.lanes[lane].acknowledge(ack);
    if (bytes > 0) {
      this.paths.active.window.delivered(bytes);
      this.attempt = 0;
      this.newsUs = nowUs;
    }
    return bytes >= 0;
  }

  /** What was overtaken, or is late, goes again. */
  detectLosses(nowUs: number): void {
    const { all, active } = this.paths;
    for (const lane of LANES) {
      const bytes = this.lanes[lane].detectLosses(all, nowUs);
      if (bytes > 0) active.window.lost(bytes);
      if (this.lanes[lane].vanishing) active.size.suspect(nowUs);
      this.lanes[lane].vanishing = false;
    }
  }

  /** Time has passed. */
  tick(nowUs: number): void {
    const [log, bulk] = this.lanes;
    if (nowUs >= Math.min(log.lossUs, bulk.lossUs)) this.detectLosses(nowUs);
    if (nowUs >= this.timeoutUs()) this.timeout(nowUs);
  }

  /** What a change of paths means for data under way. */
  obey(verdict: Verdict, nowUs: number): void {
    const [log, bulk] = this.lanes;
    const { active } = this.paths;
    switch (verdict) {
      case 'stay':
      case 'better':
        return;
      case 'resumed':
        // What is in flight is gone, and there is news to tell.
        this.attempt = 0;
        this.timeout(nowUs);
        active.stateUs = Number.NEGATIVE_INFINITY;
        return;
      case 'search':
        log.loseAll();
        break;
      case 'found':
        log.wentOver(active.index, active.lastCounter, nowUs);
        bulk.loseAll(active.index);
        break;
      case 'moved':
        log.loseAll();
        bulk.loseAll();
        break;
    }
    this.attempt = 0;
    this.newsUs = nowUs;
  }

  private timeout(nowUs: number): void {
    this.timeouts++;
    this.attempt++;
    this.newsUs = nowUs;
    this.probing = true;
    for (const lane of LANES) {
      // Nothing more goes over a path that was left, so nothing there overtakes what is missing.
      if (!this.paths.searching) this.lanes[lane].loseAll(this.paths.active.index);
      this.lanes[lane].probe();
    }
  }

  private timeoutUs(): number {
    if (this.inFlightBytes === 0) return Number.POSITIVE_INFINITY;
    const [log, bulk] = this.lanes;
    const ackUs = log.asksInFlight || bulk.inFlightBytes > 0 ? 0 : LOG_ACK_US;
    return this.newsUs + ackUs + this.paths.active.rtt.timeoutUs(this.attempt);
  }

  private get inFlightBytes(): number {
    return this.lanes[LANE.log].inFlightBytes + this.lanes[LANE.bulk].inFlightBytes;
  }

  /** Of the windows: all of them, when the peer's receive ring could not take more frames. */
  private get windowUsed(): number {
    const [log, bulk] = this.lanes;
    const frames = log.inFlightFrames + bulk.inFlightFrames;
    return frames < IN_FLIGHT_FRAMES_MAX ? this.inFlightBytes : Number.POSITIVE_INFINITY;
  }

  /** When tick() has something to do, or something may leave. */
  wakeUs(nowUs: number): number {
    const [log, bulk] = this.lanes;
    const { window, pacer, limit } = this.paths.active;
    let wakeUs = Math.min(this.timeoutUs(), log.lossUs, bulk.lossUs);
    // What a full window holds back is freed by an acknowledgement or by the time-out, not by time.
    const inFlight = this.windowUsed;
    const logMay = inFlight < window.logBytes + LOG_RESERVE_BYTES;
    const bulkMay = inFlight < window.bulkBytes && !this.paths.searching;
    if (logMay) wakeUs = Math.min(wakeUs, log.wakeUs());
    if (bulkMay && limit.open) wakeUs = Math.min(wakeUs, bulk.wakeUs());
    const bulkWaits = bulkMay && (bulk.wantsRepeat || bulk.sendableBytes() > 0);
    if (!pacer.open && (bulkWaits || (logMay && log.sendableBytes() > 0))) {
      wakeUs = Math.min(wakeUs, pacer.openUs(nowUs));
    }
    if (!limit.open && bulkWaits) wakeUs = Math.min(wakeUs, limit.openUs(nowUs));
    return wakeUs;
  }

  /** The lane whose data leaves now over a path, if any. */
  laneToSend(path: SessionPath, room: number, nowUs: number): Lane | undefined {
    const [log, bulk] = this.lanes;
    const { window, pacer, limit } = path;
    const inFlight = this.windowUsed;
    const dataRoom = room - STATE_BYTES_MAX;
    pacer.refill(window.logBytes, path.rtt.smoothedUs, nowUs);
    limit.refill(nowUs);
    if (log.wantsRepeat || log.wantsNew(dataRoom, nowUs)) {
      const fits = inFlight < window.logBytes + LOG_RESERVE_BYTES;
      if (!fits) window.full(false);
      if (this.probing || (fits && (pacer.open || log.isUrgent))) return LANE.log;
    }
    // Bulk data can wait until it is known which path lives.
    if (this.paths.searching || !limit.open) return undefined;
    if (bulk.wantsRepeat || bulk.wantsNew(dataRoom, nowUs)) {
      const fits = inFlight < window.bulkBytes;
      if (!fits) window.full(true);
      if ((this.probing && bulk.wantsRepeat) || (fits && pacer.open)) return LANE.bulk;
    }
    return undefined;
  }

  /** Writes data of a lane into a frame that leaves over a path; the end of it. */
  write(
    lane: Lane,
    path: SessionPath,
    into: Uint8Array,
    at: number,
    room: number,
    frame: DataFrame,
  ): number {
    const sender = this.lanes[lane];
    this.probing = false;
    if (this.inFlightBytes === 0) this.newsUs = frame.sentUs;
    const end = sender.write(into, at, room - at, frame);
    if (lane === LANE.log) {
      path.logBytesSent += sender.wroteEnd - sender.wroteOffset;
      if (this.paths.searching) this.copyToOthers(path, sender);
    }
    return end;
  }

  private copyToOthers(path: SessionPath, { wroteOffset, wroteEnd }: LaneSender): void {
    for (const other of this.paths.all) {
      if (other === path || !this.paths.carries(other)) continue;
      if (other.copies.length < PATH_COPIES_MAX) {
        other.copies.push({ offset: wroteOffset, end: wroteEnd });
      }
    }
  }

  /** Whether something waits that went over another path and is not acknowledged. */
  hasCopies({ copies }: SessionPath): boolean {
    const { acked } = this.lanes[LANE.log];
    while (copies.length > 0 && (copies[0] as StreamRange).end <= acked) copies.shift();
    return copies.length > 0;
  }

  /** Writes what hasCopies() found; the end of it. */
  writeCopy(path: SessionPath, into: Uint8Array, at: number, room: number): number {
    const range = path.copies[0] as StreamRange;
    const end = this.lanes[LANE.log].copy(into, at, room - at, range);
    path.logBytesSent += end - at - DATA_BYTES;
    if (range.offset >= range.end) path.copies.shift();
    return end;
  }
}

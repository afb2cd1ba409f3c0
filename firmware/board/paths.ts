// The three ways to the peer and the witness, as the arbiter's loop uses them: statements out on each path at
// its own pace, statements in, authenticated and in order. Decides nothing.
import type { Statement } from '../../watchdog/arbiter-types.ts';
import { FrontCable } from '../../watchdog/front-cable.ts';
import { FrontPath } from '../../watchdog/front-path.ts';
import type { Path } from '../../watchdog/limits.ts';
import {
  Authentic,
  FrameReader,
  type PathKeys,
  pathKeys,
  sealStatement,
} from '../../watchdog/path-frame.ts';
import { SerialPath } from '../../watchdog/serial-path.ts';
import { SerialPortLine } from '../../watchdog/serial-port.ts';
import type { Extras } from '../../watchdog/statement-wire.ts';
import type { BoardConfig } from './config/types.ts';

export interface PathsEvents {
  readonly heard: (path: Path, statement: Statement, extras: Extras) => void;
  /** Known to be gone, without waiting for silence. */
  readonly down: (path: Path, why: string) => void;
  readonly trouble: (path: Path, why: string) => void;
  /** False: no way just now. */
  readonly sayOnLog: (frame: Uint8Array) => boolean;
  readonly witnessAnswered: () => void;
  /** The cable to the plant has no carrier: neither the peer nor the witness is heard there. */
  readonly frontOut: () => void;
}

export interface Witness {
  /** Asks anew; true if it has spoken since the last call. */
  probe(): boolean;
  stop(): void;
  readonly trouble: string | null;
}

export interface PathCounters {
  readonly sent: number;
  readonly accepted: number;
  readonly rejected: number;
}

const REOPEN_MS = 500;
const NEVER = Number.POSITIVE_INFINITY;
/** A witness that is silent for longer is silent for another reason. */
const OVERDUE_LOOKS_MS = 1_000;
const NO_EXTRAS: Extras = { position: 0n, health: 0 };

export class Paths {
  private readonly config: BoardConfig;
  private readonly keys: PathKeys;
  private readonly authentic = new Authentic();
  private readonly events: PathsEvents;
  private readonly witness: Witness | null;
  private readonly logReader: FrameReader;
  private readonly line: SerialPortLine | null = null;
  private readonly serial: SerialPath | null = null;
  private front: FrontPath;
  private frontTimer: NodeJS.Timeout | null = null;
  private frontTrouble = '';
  private isStopped = false;
  private logSent = 0;
  private readonly saidMs = { log: Number.NEGATIVE_INFINITY, front: Number.NEGATIVE_INFINITY };
  private probedMs = Number.NEGATIVE_INFINITY;
  private readonly cable: FrontCable;
  /** When the next answer of the witness is overdue; and when the cable is looked at for it. */
  private overdueMs = NEVER;
  private lookAtCableMs = NEVER;

  constructor(
    config: BoardConfig,
    pairingKey: Uint8Array,
    witness: Witness | null,
    events: PathsEvents,
  ) {
    this.config = config;
    this.keys = pathKeys(pairingKey, config.side);
    this.events = events;
    this.witness = witness;
    this.logReader = new FrameReader(this.keys, this.authentic);
    this.cable = new FrontCable(config.front.interface);
    this.front = this.makeFront();
    if (config.serial !== null) {
      const { port, baud } = config.serial;
      this.line = new SerialPortLine({
        path: port,
        baudRate: baud,
        reopenMs: REOPEN_MS,
        isPolled: true,
      });
      this.serial = new SerialPath({
        line: this.line,
        keys: this.keys,
        authentic: this.authentic,
        heartbeatMs: config.limits.heartbeatMs.serial,
        onStatement: (statement, extras) => this.events.heard('serial', statement, extras),
        onPairing: () => {},
        onDown: (why) => this.events.down('serial', why),
      });
    }
  }

  start(): void {
    this.line?.start();
    this.startFront();
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    if (this.frontTimer !== null) clearTimeout(this.frontTimer);
    this.witness?.stop();
    this.front.stop();
    await this.line?.stop();
  }

  say(statement: Statement, extras: Extras, urgent: boolean, nowMs: number): void {
    const { heartbeatMs } = this.config.limits;
    // Once for all paths: a statement is said two hundred times a second.
    const frame = sealStatement(this.keys, statement, extras);
    this.serial?.offer(frame, urgent, nowMs);
    if (urgent || nowMs - this.saidMs.log >= heartbeatMs.log) {
      if (this.events.sayOnLog(frame)) {
        this.saidMs.log = nowMs;
        this.logSent += 1;
      }
    }
    if (urgent || nowMs - this.saidMs.front >= heartbeatMs.front) {
      this.saidMs.front = nowMs;
      this.front.say(frame);
    }
  }

  /** A frame that came over the log link. */
  logFrame(frame: Uint8Array): void {
    const read = this.logReader.read(frame);
    if (read.ok && read.kind === 'statement')
      this.events.heard('log', read.statement, read.extras ?? NO_EXTRAS);
  }

  /** Takes what has come on serial line and front LAN, where the board looks and is not woken. */
  hear(): void {
    this.front.hear();
    this.line?.poll();
  }

  tick(nowMs: number): void {
    this.serial?.tick(nowMs);
    if (this.witness === null) return;
    this.lookAtCable(nowMs);
    if (nowMs - this.probedMs < this.config.limits.witnessProbeMs) return;
    this.probedMs = nowMs;
    if (!this.witness.probe()) return;
    const { witnessProbeMs, tickMs } = this.config.limits;
    this.overdueMs = nowMs + witnessProbeMs + tickMs;
    this.lookAtCableMs = this.overdueMs;
    this.events.witnessAnswered();
  }

  /** For a second after an answer of the witness is overdue, until it is told once: what lasts is a matter of silence. */
  private lookAtCable(nowMs: number): void {
    if (nowMs < this.lookAtCableMs) return;
    this.lookAtCableMs = nowMs - this.overdueMs > OVERDUE_LOOKS_MS ? NEVER : nowMs;
    if (!this.cable.isOut()) return;
    this.lookAtCableMs = NEVER;
    this.events.frontOut();
  }

  get witnessTrouble(): string | null {
    return this.witness?.trouble ?? null;
  }

  counters(): Readonly<Record<Path, PathCounters>> {
    const { front, serial } = this;
    return {
      log: count(this.logSent, this.logReader, 0),
      serial:
        serial === null
          ? { sent: 0, accepted: 0, rejected: 0 }
          : count(serial.sent, serial.reader, serial.stream.broken + serial.stream.overlong),
      front: count(front.sent, front.reader, 0),
    };
  }

  private makeFront(): FrontPath {
    const { bind, peer, port } = this.config.front;
    return new FrontPath({
      keys: this.keys,
      authentic: this.authentic,
      bindAddress: bind,
      bindPort: port,
      peerAddress: peer,
      peerPort: port,
      onStatement: (statement, extras) => this.events.heard('front', statement, extras),
    });
  }

  /** The address may come later than the board: tries until it is there. */
  private startFront(): void {
    try {
      this.front.start();
      this.frontTrouble = '';
    } catch (error) {
      const { message } = error as Error;
      if (this.frontTrouble !== message) this.events.trouble('front', message);
      this.frontTrouble = message;
      if (this.isStopped) return;
      this.front = this.makeFront();
      this.frontTimer = setTimeout(() => this.startFront(), REOPEN_MS);
    }
  }
}

function count(sent: number, reader: FrameReader, noise: number): PathCounters {
  const rejected = Object.values(reader.rejected).reduce((sum, n) => sum + n, noise);
  return { sent, accepted: reader.accepted, rejected };
}

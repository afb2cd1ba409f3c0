// A vCPU thread as its owner sees it. It leads (runs a guest, optionally keeping its log) or follows
// (runs along the log of another board's guest), and changes between the two where it stands.
//
// Roles, and what changes them:
//     start() -> leading          adopt() -> following
//     pause() -> paused leader    resume() -> leading    follow() -> following, from a paused leader
//     goLive() -> leading         a difference -> diverged: answers everything, does nothing
//
// Owner's duties:
// 1. Answer every onDiskRequest by a completion through send(), in every role: each board has its own
//    replica. Requests still in flight when the role changes stay in flight.
// 2. Leading: hand on what onLog gives, in order, each piece whole; outputs given after it wait for it.
// 3. Following: push() those pieces in order; hold onOutputs until they are known to be out.
// 4. Every promise settles: with its answer, or by rejecting with a VcpuError in words, at the latest
//    when the thread ends. Nobody has to catch what nobody waits for.
import { Worker } from 'node:worker_threads';
import { kick } from '../../../native/index.ts';
import type { DiskRequest, Input, SerialPortName } from '../../devices/contracts.ts';
import type { Divergence } from '../../lockstep/replayer.ts';
import type { StopReason } from '../../machine/machine-types.ts';
import { DEFAULT_ENGINE, traitsOf } from '../engine-kinds.ts';
import { Calls } from './calls.ts';
import { FactWords, type VcpuFacts } from './facts.ts';
import type {
  Adoption,
  Batch,
  EndReason,
  FromWorker,
  GuestConfig,
  LiveCheckpoint,
  LiveFacts,
  LogConfig,
  OutputItem,
  ToWorker,
  WorkerStart,
} from './messages.ts';
import { CONTROL, CONTROL_WORDS } from './messages.ts';

export { VcpuError } from './calls.ts';
export type { Doing, VcpuFacts } from './facts.ts';
export type {
  Adoption,
  EndReason,
  GuestConfig,
  GuestSetup,
  LiveCheckpoint,
  LiveFacts,
  LogConfig,
  OutputItem,
} from './messages.ts';

/** Frames under way to the thread; like a network card's ring, more are dropped. */
export const FRAMES_WAITING_MAX = 512;

/** A quarter of a minute of a busy guest: who does not listen for so long loses what it says. */
export const BATCHES_WAITING_MAX = 4096;

/** A guest is slowed to a tenth at most. */
export const THROTTLE_MAX = 0.9;

export interface VcpuOptions {
  config: GuestConfig;
  log: LogConfig | undefined;
  /** What starts the guest over, as a new life, instead of ending it. The same on both boards. */
  restartsOn: readonly StopReason['kind'][];
  /** @default BATCHES_WAITING_MAX */
  batchesWaitingMax?: number;
  /**
   * In both roles. Leading: after the onLog that covers them. Following: what the primary made too, with
   * the same numbers; a piece of serial text never reaches beyond what the primary gave its owner at once.
   */
  onOutputs: (outputs: readonly OutputItem[]) => void;
  /** In both roles; to be answered by an input. */
  onDiskRequest: (request: DiskRequest) => void;
  /** Log file bytes, or whole items of the stream (lockstep/STREAM.md), at most STREAM_PIECE_BYTES_MAX. */
  onLog: (bytes: Uint8Array) => void;
  /** The guest starts over, after a reset. Leading and following. */
  onReboot: (life: number) => void;
  /** The guest took serial bytes, or they were dropped while following: the host may send more. */
  onSerialTaken: (port: SerialPortName, bytes: number) => void;
  /** The first difference, once. The thread stays, parked, until stop(). */
  onDivergence?: (divergence: Divergence) => void;
  /** Following: entries were applied, facts() has moved. At most every few milliseconds. */
  onProgress?: () => void;
}

export interface VcpuEnd {
  readonly reason: EndReason;
  /** Where the last life ended. */
  readonly position: bigint;
}

/** A guest could not be started or adopted; one clear line in `message`. */
export class VcpuStartError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** What is sent to a thread is copied with all the memory around it: a view gets its own. */
const alone = (bytes: Uint8Array): Uint8Array =>
  bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();

/** Two kicks without a position between them close a slice. */
const KICK_INTERVAL_MS = 5;

export class Vcpu {
  /** Settles when the thread is gone; rejects when it broke. */
  readonly ended: Promise<VcpuEnd>;
  framesDropped = 0;
  /** How long the newest batch took from the end of its slice to here. */
  handoverNs = 0n;

  private worker!: Worker;
  private readonly options: VcpuOptions;
  private readonly control = new Int32Array(new SharedArrayBuffer(4 * CONTROL_WORDS));
  private readonly words = new FactWords();
  private readonly calls: Calls;
  private kickToken: bigint | undefined;
  /** For an engine that would not end a slice by itself. */
  private kicker: NodeJS.Timeout | undefined;
  private token = 0;
  private ofDigest: number | undefined;
  private framesSent = 0;
  private end: VcpuEnd | undefined;
  private settle!: { readonly ended: (end: VcpuEnd) => void; readonly broke: (why: Error) => void };

  /** Leads from power-on. Throws VcpuStartError when the guest cannot be loaded. */
  static async start(options: VcpuOptions): Promise<Vcpu> {
    const vcpu = new Vcpu(options);
    await vcpu.begin(undefined);
    return vcpu;
  }

  /**
   * Follows from a checkpoint. Answers when the machine is restored and the digest of its memory is
   * computed. Disk requests in flight at the checkpoint are issued again. Throws VcpuStartError where
   * the checkpoint is altered or of another machine.
   */
  static async adopt(options: VcpuOptions, adoption: Adoption): Promise<Vcpu> {
    const vcpu = new Vcpu(options);
    await vcpu.begin(adoption);
    return vcpu;
  }

  private constructor(options: VcpuOptions) {
    this.options = options;
    this.calls = new Calls((id, ask) => this.tell({ kind: 'ask', id, ask }));
    this.ended = new Promise((ended, broke) => {
      this.settle = { ended, broke };
    });
    // Whoever starts waits for `begin`; `ended` is for later and may fail before anyone looks.
    this.ended.catch(() => {});
  }

  /** The thread; settles when the machine in it is there. */
  private begin(adoption: Adoption | undefined): Promise<void> {
    const { config, log, restartsOn, batchesWaitingMax = BATCHES_WAITING_MAX } = this.options;
    const { control, settle } = this;
    const facts = this.words.shared;
    const start: WorkerStart = {
      ...{ config, log, restartsOn, batchesWaitingMax, control, facts, adoption },
    };
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: start });
    this.worker = worker;
    worker.on('error', settle.broke);
    worker.on('exit', () => {
      if (this.end !== undefined) settle.ended(this.end);
      else settle.broke(new Error('the vCPU thread ended without a word'));
      this.calls.close();
      clearInterval(this.kicker);
    });
    if (traitsOf(config.engine ?? DEFAULT_ENGINE).closesSlices) {
      this.kicker = setInterval(() => this.kick(), KICK_INTERVAL_MS);
    }
    return new Promise((resolve, reject) => {
      this.ended.catch(reject);
      worker.on('message', (message: FromWorker) => {
        if (message.kind === 'failed') reject(new VcpuStartError(message.code, message.message));
        else this.take(message);
        if (message.kind === 'started') resolve();
      });
    });
  }

  // ---- in every role ------------------------------------------------------------------------

  /**
   * Position and what it does, read from shared memory: no message, no wait. What the guest made until
   * there may still be on its way; an answer to a question comes after it.
   */
  facts(): VcpuFacts {
    return this.words.read();
  }

  /** Names guest memory in this process (GuestMemory). It stays the same over restarts of the guest. */
  get memoryToken(): number {
    return this.token;
  }

  /** Names the digest of that memory (MemoryDigest) of the guest's present life; undefined: none is made. */
  get digestToken(): number | undefined {
    return this.ofDigest;
  }

  /** Frames and pieces of text nobody took in time. */
  get outputsDropped(): number {
    return Atomics.load(this.control, CONTROL.outputsDropped);
  }

  /** Inputs that came while following: not ours. */
  get inputsDropped(): number {
    return Atomics.load(this.control, CONTROL.inputsDropped);
  }

  /** Pieces of a log that came while leading or after a difference. */
  get logDropped(): number {
    return Atomics.load(this.control, CONTROL.logDropped);
  }

  /**
   * In order. Frames beyond what the thread can take are dropped and counted. While following only
   * disk completions count; after goLive() was called, everything else waits for it.
   */
  send(inputs: readonly Input[]): void {
    const taken = inputs.filter((input) => input.kind !== 'net-rx' || this.hasRoomForFrame());
    if (taken.length > 0) this.tell({ kind: 'inputs', inputs: taken });
  }

  /** Ends the guest where it stands; wait for `ended`. May be called twice. */
  stop(): void {
    this.tell({ kind: 'stop' });
  }

  // ---- leading ------------------------------------------------------------------------------

  /**
   * Stands still at the end of the present slice, with everything injected that was sent before, a
   * digest in the log, and all log and outputs given to the owner. Paused already: answers at once.
   */
  async pause(): Promise<void> {
    await this.calls.ask({ kind: 'pause' });
  }

  /** Goes on. `log: true`: a fresh log begins here, with a digest; otherwise the log stays as it was. */
  async resume({ log = false }: { log?: boolean } = {}): Promise<void> {
    await this.calls.ask({ kind: 'resume', log });
  }

  /** A fresh log begins at the end of the present slice, with a digest, without a pause. */
  async startLog(): Promise<void> {
    await this.calls.ask({ kind: 'start-log' });
  }

  /** What was logged is given out, then nobody keeps a log. */
  async stopLog(): Promise<void> {
    await this.calls.ask({ kind: 'stop-log' });
  }

  /**
   * RAM pages (by offset) written since the last call; all pages the first time and after a restart of
   * the guest. Who begins to copy memory calls it once for nothing, before the first page is read.
   */
  takeDirty(): Promise<Uint8Array> {
    return this.calls.ask({ kind: 'take-dirty' });
  }

  /** pause(), and what adopt() takes. Memory must be copied before resume(). */
  checkpoint(): Promise<LiveCheckpoint> {
    return this.calls.ask({ kind: 'checkpoint' });
  }

  /** Sleeps this share (0..0.9) of the time; the guest sees a slower CPU. Ends with 0. */
  throttle(share: number): void {
    const bounded = Math.min(Math.max(share, 0), THROTTLE_MAX);
    this.tell({ kind: 'throttle', share: bounded });
  }

  /** A paused leader becomes a follower where it stands; its log ends. Then push() the new one's. */
  async follow(): Promise<void> {
    await this.calls.ask({ kind: 'follow' });
  }

  // ---- following ----------------------------------------------------------------------------

  /** What onLog gave on the other board: every piece, in order. Bytes that make no sense diverge. */
  push(log: Uint8Array): void {
    this.tell({ kind: 'push', log: alone(log) }, false);
  }

  /** The next push() is the beginning of a log. (As after adopt() and follow().) */
  beginStream(): void {
    this.tell({ kind: 'begin-stream' }, false);
  }

  /**
   * Applies everything pushed before, then leads. `log: true`: keeps a log, from a digest on. `peerClockNs`:
   * this board's clock minus the old leader's, without which the guest's clock begins a line of its own.
   */
  goLive({ log, peerClockNs }: { log: boolean; peerClockNs?: bigint }): Promise<LiveFacts> {
    return this.calls.ask({ kind: 'go-live', log, peerClockNs });
  }

  // ---- inside -------------------------------------------------------------------------------

  private hasRoomForFrame(): boolean {
    const waiting = (this.framesSent - Atomics.load(this.control, CONTROL.framesTaken)) | 0;
    if (waiting >= FRAMES_WAITING_MAX) {
      this.framesDropped++;
      return false;
    }
    this.framesSent = (this.framesSent + 1) | 0;
    return true;
  }

  /** A kick ends a slice that runs; a follower's log can wait for the end of one. */
  private tell(message: ToWorker, isPrompt = true): void {
    if (this.end !== undefined) return;
    this.worker.postMessage(message);
    Atomics.add(this.control, CONTROL.wake, 1);
    Atomics.notify(this.control, CONTROL.wake);
    if (isPrompt) this.kick();
  }

  private kick(): void {
    if (this.kickToken !== undefined) kick(this.kickToken);
  }

  private take(message: FromWorker): void {
    switch (message.kind) {
      case 'started':
        this.kickToken = message.kickToken;
        if (this.token !== 0) this.options.onReboot(message.life);
        this.token = message.memoryToken;
        this.ofDigest = message.digestToken;
        return;
      case 'batch':
        this.takeBatch(message.batch);
        return;
      case 'answer':
        this.calls.answer(message.id, message.value);
        return;
      case 'refused':
        this.calls.refuse(message.id, message.refusal);
        return;
      case 'diverged':
        this.options.onDivergence?.(message.divergence);
        return;
      case 'progress':
        this.options.onProgress?.();
        return;
      case 'ended':
        this.end = { reason: message.reason, position: message.position };
        return;
      case 'failed':
        return;
    }
  }

  private takeBatch({ outputs, requests, serialTaken, log, endNs }: Batch): void {
    const { options } = this;
    this.handoverNs = process.hrtime.bigint() - endNs;
    Atomics.add(this.control, CONTROL.batchesTaken, 1);
    // First the log: outputs may wait for it.
    for (const bytes of log) options.onLog(bytes);
    if (outputs.length > 0) options.onOutputs(outputs);
    for (const request of requests) options.onDiskRequest(request);
    for (const [port, bytes] of Object.entries(serialTaken)) {
      options.onSerialTaken(port as SerialPortName, bytes);
    }
  }
}

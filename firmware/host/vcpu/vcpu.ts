// A vCPU thread as its owner sees it: start it, send inputs, get batches of what it made, be told how
// it ended. Nothing here waits for the thread.
import { Worker } from 'node:worker_threads';
import { kick } from '../../../native/index.ts';
import type { DiskRequest, Input, SerialPortName } from '../../machine/contracts.ts';
import type {
  Batch,
  EndReason,
  FromWorker,
  GuestConfig,
  LogConfig,
  OutputItem,
  ToWorker,
  WorkerStart,
} from './messages.ts';
import { CONTROL, CONTROL_WORDS } from './messages.ts';

export type { EndReason, GuestConfig, LogConfig, OutputItem } from './messages.ts';

/** Frames under way to the thread; like a network card's ring, more are dropped. */
export const FRAMES_WAITING_MAX = 512;

/** A quarter of a minute of a busy guest: who does not listen for so long loses what it says. */
export const BATCHES_WAITING_MAX = 4096;

export interface VcpuOptions {
  config: GuestConfig;
  log: LogConfig | undefined;
  rebootsOnReset: boolean;
  /** @default BATCHES_WAITING_MAX */
  batchesWaitingMax?: number;
  onOutputs: (outputs: readonly OutputItem[]) => void;
  /** To be answered by an input. */
  onDiskRequest: (request: DiskRequest) => void;
  onLog: (bytes: Uint8Array) => void;
  /** The guest starts over, after a reset. */
  onReboot: (life: number) => void;
  /** The guest took serial bytes: the host may send more. */
  onSerialTaken: (port: SerialPortName, bytes: number) => void;
}

export interface VcpuEnd {
  readonly reason: EndReason;
  /** Instructions of the last life. */
  readonly icount: bigint;
}

/** A guest could not be started; one clear line in `message`. */
export class VcpuStartError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export class Vcpu {
  /** Settles when the thread is gone; rejects when it broke. */
  readonly ended: Promise<VcpuEnd>;
  framesDropped = 0;

  private readonly worker: Worker;
  private readonly options: VcpuOptions;
  private readonly control = new Int32Array(new SharedArrayBuffer(4 * CONTROL_WORDS));
  private kickToken: bigint | undefined;
  private framesSent = 0;
  private end: VcpuEnd | undefined;

  /** Throws VcpuStartError when the guest cannot be loaded. */
  static async start(options: VcpuOptions): Promise<Vcpu> {
    const vcpu = new Vcpu(options);
    await vcpu.started();
    return vcpu;
  }

  private constructor(options: VcpuOptions) {
    this.options = options;
    const { config, log, rebootsOnReset, batchesWaitingMax = BATCHES_WAITING_MAX } = options;
    const { control } = this;
    const start: WorkerStart = { config, log, rebootsOnReset, batchesWaitingMax, control };
    this.worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: start });
    this.ended = new Promise((resolve, reject) => {
      this.worker.on('error', reject);
      this.worker.on('exit', () => {
        if (this.end !== undefined) resolve(this.end);
        else reject(new Error('the vCPU thread ended without a word'));
      });
    });
    // Whoever starts waits for `started`; `ended` is for later and may fail before anyone looks.
    this.ended.catch(() => {});
  }

  private started(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.ended.catch(reject);
      this.worker.on('message', (message: FromWorker) => {
        if (message.kind === 'failed') reject(new VcpuStartError(message.code, message.message));
        else this.take(message);
        if (message.kind === 'started') resolve();
      });
    });
  }

  /** Frames and pieces of text nobody took in time. */
  get outputsDropped(): number {
    return Atomics.load(this.control, CONTROL.outputsDropped);
  }

  /** In order. Frames beyond what the thread can take are dropped and counted. */
  send(inputs: readonly Input[]): void {
    const taken = inputs.filter((input) => input.kind !== 'net-rx' || this.hasRoomForFrame());
    if (taken.length > 0) this.tell({ kind: 'inputs', inputs: taken });
  }

  /** Ends the guest where it stands; wait for `ended`. May be called twice. */
  stop(): void {
    this.tell({ kind: 'stop' });
  }

  private hasRoomForFrame(): boolean {
    const waiting = (this.framesSent - Atomics.load(this.control, CONTROL.framesTaken)) | 0;
    if (waiting >= FRAMES_WAITING_MAX) {
      this.framesDropped++;
      return false;
    }
    this.framesSent = (this.framesSent + 1) | 0;
    return true;
  }

  private tell(message: ToWorker): void {
    if (this.end !== undefined) return;
    this.worker.postMessage(message);
    Atomics.add(this.control, CONTROL.wake, 1);
    Atomics.notify(this.control, CONTROL.wake);
    if (this.kickToken !== undefined) kick(this.kickToken);
  }

  private take(message: FromWorker): void {
    switch (message.kind) {
      case 'started':
        this.kickToken = message.kickToken;
        if (message.life > 1) this.options.onReboot(message.life);
        return;
      case 'batch':
        this.takeBatch(message.batch);
        return;
      case 'ended':
        this.end = { reason: message.reason, icount: message.icount };
        return;
      case 'failed':
        return;
    }
  }

  private takeBatch({ outputs, requests, serialTaken, log }: Batch): void {
    const { options } = this;
    Atomics.add(this.control, CONTROL.batchesTaken, 1);
    // First the log: outputs may wait for it.
    if (log !== undefined) options.onLog(log);
    if (outputs.length > 0) options.onOutputs(outputs);
    for (const request of requests) options.onDiskRequest(request);
    for (const [port, bytes] of Object.entries(serialTaken)) {
      options.onSerialTaken(port as SerialPortName, bytes);
    }
  }
}

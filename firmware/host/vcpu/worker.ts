// The thread that runs a guest. It never returns to its event loop: messages are read when the wake
// word changed, an idle guest sleeps on that word, everything it makes leaves by postMessage.
import { randomBytes } from 'node:crypto';
import {
  type MessagePort,
  parentPort,
  receiveMessageOnPort,
  workerData,
} from 'node:worker_threads';
import { BootError } from '../../machine/boot/errors.ts';
import type { Input, SerialPortName } from '../../machine/contracts.ts';
import { type Life, startLife } from './life.ts';
import type {
  Batch,
  EndReason,
  FromWorker,
  GuestConfig,
  OutputItem,
  ToWorker,
  WorkerStart,
} from './messages.ts';
import { CONTROL, LIFE_REQUESTS } from './messages.ts';

const PORTS: readonly SerialPortName[] = ['com1', 'com2', 'console'];
/** Log bytes that no output waits for leave after so long, or when they are many. */
const LOG_DELAY_NS = 50_000_000n;
const LOG_BYTES_MAX = 32 << 10;

const realNs = () => process.hrtime.bigint();

class Worker {
  private readonly port: MessagePort;
  private readonly start: WorkerStart;
  private readonly held: Partial<Record<SerialPortName, number>> = {};
  private life: Life;
  private lifeNumber = 1;
  private wakeSeen = 0;
  private logSentNs = 0n;
  private batchesSent = 0;

  constructor(port: MessagePort, start: WorkerStart) {
    this.port = port;
    this.start = start;
    this.life = this.begin(start.config);
  }

  /** Runs guests until there is a reason to end. */
  run(): EndReason {
    const { control } = this.start;
    for (;;) {
      const wake = Atomics.load(control, CONTROL.wake);
      if (wake !== this.wakeSeen && !this.takeMessages(wake)) return { kind: 'stopped' };
      const next = this.life.loop.step();
      this.flush(next.kind === 'stopped');
      if (next.kind === 'sleep') sleep(control, wake, next.untilRealNs);
      if (next.kind === 'stopped') {
        if (next.reason.kind !== 'reset' || !this.start.rebootsOnReset) return next.reason;
        this.reboot();
      }
    }
  }

  /** The last words of a log, and where the guest stood. */
  end(): bigint {
    this.life.recorder.writeDigest();
    this.life.recorder.end();
    this.flush(true);
    return this.life.machine.icount;
  }

  private begin(config: GuestConfig): Life {
    const life = startLife({ config, log: this.start.log, realNs });
    const { kickToken } = life;
    this.post({ kind: 'started', life: this.lifeNumber, kickToken });
    return life;
  }

  private reboot(): void {
    this.life.close();
    this.lifeNumber++;
    this.life = this.begin({
      ...this.start.config,
      epochSeconds: Math.floor(Date.now() / 1000),
      entropySeed: new Uint8Array(randomBytes(32)),
    });
  }

  /** False: it is time to stop. */
  private takeMessages(wake: number): boolean {
    this.wakeSeen = wake;
    for (;;) {
      const received = receiveMessageOnPort(this.port) as { message: ToWorker } | undefined;
      if (received === undefined) return true;
      const { message } = received;
      if (message.kind === 'stop') return false;
      this.takeInputs(message.inputs);
    }
  }

  private takeInputs(inputs: Extract<ToWorker, { kind: 'inputs' }>['inputs']): void {
    let frames = 0;
    for (const input of inputs) {
      this.push(input);
      if (input.kind === 'net-rx') frames++;
      if (input.kind === 'serial-rx') {
        this.held[input.port] = (this.held[input.port] ?? 0) + input.bytes.length;
      }
    }
    if (frames > 0) Atomics.add(this.start.control, CONTROL.framesTaken, frames);
  }

  private push(input: Input): void {
    if (input.kind !== 'disk-completion') this.life.loop.push(input);
    else if (Math.floor(input.id / LIFE_REQUESTS) === this.lifeNumber) {
      this.life.loop.push({ ...input, id: input.id % LIFE_REQUESTS });
    }
  }

  private flush(isLast: boolean): void {
    const { outbox } = this.life;
    const serialTaken = this.serialTaken();
    const log = this.takeLog(isLast);
    if (outbox.isEmpty && serialTaken === undefined && log === undefined) return;
    const { outputs: all, requests } = outbox.take();
    const outputs = this.isHeard() ? all : this.withoutTalk(all);
    const first = this.lifeNumber * LIFE_REQUESTS;
    const batch: Batch = {
      outputs,
      requests: requests.map((request) => ({ ...request, id: first + request.id })),
      serialTaken: serialTaken ?? {},
      log,
    };
    this.post({ kind: 'batch', batch });
    this.batchesSent = (this.batchesSent + 1) | 0;
  }

  private isHeard(): boolean {
    const { control, batchesWaitingMax } = this.start;
    const waiting = (this.batchesSent - Atomics.load(control, CONTROL.batchesTaken)) | 0;
    return waiting < batchesWaitingMax;
  }

  /** An owner that is stuck must not cost memory without end: frames and text can be lost. */
  private withoutTalk(outputs: OutputItem[]): OutputItem[] {
    const kept = outputs.filter(({ kind }) => kind !== 'net-tx' && kind !== 'serial-tx');
    Atomics.add(this.start.control, CONTROL.outputsDropped, outputs.length - kept.length);
    return kept;
  }

  private serialTaken(): Partial<Record<SerialPortName, number>> | undefined {
    let taken: Partial<Record<SerialPortName, number>> | undefined;
    for (const port of PORTS) {
      const before = this.held[port] ?? 0;
      if (before === 0) continue;
      const now = this.life.loop.heldBytes(port);
      if (now === before) continue;
      this.held[port] = now;
      taken = { ...taken, [port]: before - now };
    }
    return taken;
  }

  /** What an output waits for leaves with it, the rest when it is worth a message. */
  private takeLog(isLast: boolean): Uint8Array | undefined {
    const { log, outbox } = this.life;
    if (log === undefined || log.pendingBytes === 0) return undefined;
    const now = realNs();
    const isLate = now - this.logSentNs >= LOG_DELAY_NS;
    const isDue = isLast || isLate || log.pendingBytes >= LOG_BYTES_MAX;
    if (outbox.isEmpty && !isDue) return undefined;
    this.logSentNs = now;
    return log.take();
  }

  private post(message: FromWorker): void {
    this.port.postMessage(message);
  }
}

function sleep(control: Int32Array, wake: number, untilRealNs: bigint | undefined): void {
  if (untilRealNs === undefined) {
    Atomics.wait(control, CONTROL.wake, wake);
    return;
  }
  const ms = Number(untilRealNs - realNs()) / 1e6;
  if (ms > 0) Atomics.wait(control, CONTROL.wake, wake, ms);
}

function main(port: MessagePort, start: WorkerStart): void {
  const post = (message: FromWorker) => port.postMessage(message);
  let worker: Worker;
  try {
    worker = new Worker(port, start);
  } catch (error) {
    if (!(error instanceof BootError || error instanceof RangeError)) throw error;
    const code = error instanceof BootError ? error.code : 'E_MEMORY';
    post({ kind: 'failed', code, message: error.message });
    return;
  }
  const reason = worker.run();
  post({ kind: 'ended', reason, icount: worker.end() });
}

if (parentPort === null) throw new Error('this is the code of a thread');
main(parentPort, workerData as WorkerStart);

// The thread that runs a guest. It never returns to its event loop: messages are read when the wake
// word changed, an idle guest sleeps on that word, everything it makes leaves by postMessage.
import {
  type MessagePort,
  parentPort,
  receiveMessageOnPort,
  workerData,
} from 'node:worker_threads';
import { LockstepError } from '../../lockstep/errors.ts';
import { BootError } from '../../machine/boot/errors.ts';
import type { EndReason, FromWorker, ToWorker, WorkerStart } from './messages.ts';
import { CONTROL } from './messages.ts';
import { Sender } from './sender.ts';
import { VcpuThread } from './thread.ts';

class Worker {
  private readonly port: MessagePort;
  private readonly control: Int32Array;
  private readonly thread: VcpuThread;
  private wakeSeen = 0;

  constructor(port: MessagePort, control: Int32Array, thread: VcpuThread) {
    this.port = port;
    this.control = control;
    this.thread = thread;
  }

  /** Until there is a reason to end. */
  run(): EndReason {
    for (;;) {
      const wake = Atomics.load(this.control, CONTROL.wake);
      if (wake !== this.wakeSeen && !this.takeMessages(wake)) return { kind: 'stopped' };
      const next = this.thread.step();
      if (next.kind === 'stopped') return next.reason;
      if (next.kind === 'sleep') sleep(this.control, wake, next.untilRealNs);
    }
  }

  /** False: it is time to stop. */
  private takeMessages(wake: number): boolean {
    this.wakeSeen = wake;
    for (;;) {
      const received = receiveMessageOnPort(this.port) as { message: ToWorker } | undefined;
      if (received === undefined) return true;
      if (received.message.kind === 'stop') return false;
      this.take(received.message);
    }
  }

  private take(message: Exclude<ToWorker, { kind: 'stop' }>): void {
    switch (message.kind) {
      case 'inputs':
        this.thread.inputs(message.inputs);
        return;
      case 'push':
        this.thread.push(message.log);
        return;
      case 'begin-stream':
        this.thread.beginStream();
        return;
      case 'throttle':
        this.thread.throttle(message.share);
        return;
      case 'ask':
        this.thread.ask(message.id, message.ask);
        return;
    }
  }
}

function sleep(control: Int32Array, wake: number, untilRealNs: bigint | undefined): void {
  if (untilRealNs === undefined) {
    Atomics.wait(control, CONTROL.wake, wake);
    return;
  }
  const ms = Number(untilRealNs - process.hrtime.bigint()) / 1e6;
  if (ms > 0) Atomics.wait(control, CONTROL.wake, wake, ms);
}

function main(port: MessagePort, start: WorkerStart): void {
  const post = (message: FromWorker) => port.postMessage(message);
  const { control, batchesWaitingMax } = start;
  let thread: VcpuThread;
  try {
    thread = new VcpuThread(start, new Sender({ port, control, batchesWaitingMax }));
  } catch (error) {
    if (error instanceof BootError || error instanceof LockstepError) {
      post({ kind: 'failed', code: error.code, message: error.message });
    } else if (error instanceof RangeError) {
      post({ kind: 'failed', code: 'E_MEMORY', message: error.message });
    } else throw error;
    return;
  }
  const reason = new Worker(port, control, thread).run();
  post({ kind: 'ended', reason, position: thread.end() });
}

if (parentPort === null) throw new Error('this is the code of a thread');
main(parentPort, workerData as WorkerStart);

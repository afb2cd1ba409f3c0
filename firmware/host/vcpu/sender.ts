// What a thread has for its owner, gathered after every slice into one message. An owner that is
// stuck must not cost memory without end: frames and text can be lost, everything else waits.
import type { MessagePort } from 'node:worker_threads';
import type { DiskRequest } from '../../devices/contracts.ts';
import type { Batch, FromWorker, OutputItem } from './messages.ts';
import { CONTROL, LIFE_REQUESTS } from './messages.ts';
import type { SerialBytes } from './serial-flow.ts';

export class Sender {
  private readonly port: MessagePort;
  private readonly control: Int32Array;
  private readonly batchesWaitingMax: number;
  private batchesSent = 0;

  constructor(options: { port: MessagePort; control: Int32Array; batchesWaitingMax: number }) {
    this.port = options.port;
    this.control = options.control;
    this.batchesWaitingMax = options.batchesWaitingMax;
  }

  post(message: FromWorker): void {
    this.port.postMessage(message);
  }

  batch(parts: {
    life: number;
    outputs: OutputItem[];
    requests: readonly DiskRequest[];
    serialTaken: SerialBytes | undefined;
    log: readonly Uint8Array[];
    endNs: bigint;
  }): void {
    const { life, outputs, requests, serialTaken, log, endNs } = parts;
    const isEmpty = outputs.length === 0 && requests.length === 0 && log.length === 0;
    if (isEmpty && serialTaken === undefined) return;
    const first = life * LIFE_REQUESTS;
    const batch: Batch = {
      outputs: this.isHeard() ? outputs : this.withoutTalk(outputs),
      requests: requests.map((request) => ({ ...request, id: first + request.id })),
      serialTaken: serialTaken ?? {},
      log,
      endNs,
    };
    this.post({ kind: 'batch', batch });
    this.batchesSent = (this.batchesSent + 1) | 0;
  }

  private isHeard(): boolean {
    const waiting = (this.batchesSent - Atomics.load(this.control, CONTROL.batchesTaken)) | 0;
    return waiting < this.batchesWaitingMax;
  }

  private withoutTalk(outputs: OutputItem[]): OutputItem[] {
    const kept = outputs.filter(({ kind }) => kind !== 'net-tx' && kind !== 'serial-tx');
    Atomics.add(this.control, CONTROL.outputsDropped, outputs.length - kept.length);
    return kept;
  }
}

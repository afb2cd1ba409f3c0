// The block device: requests leave as outputs, answers come back as inputs.
//
//   guest ring ──take──▶ held ──no overlap──▶ issued ──disk-completion──▶ guest memory, used ring
//                         └ output disk-request ┘
//
// At the notify a request is captured whole: data to write is copied out of guest memory, buffers
// to read into are noted. From then on the guest's rings and memory play no part in it. Data and
// status enter guest memory only in `complete()`, at the position of that input.
//
// A request that touches sectors an earlier one still works on is held back until that one is
// answered (reads beside reads excepted). So what the disk holds and what reads return depends on
// the order of notifies and completions alone, not on how fast some host's disk is.
//
// A reset forgets the guest's side of requests, but what was issued is still out there: it stays
// pending as an orphan, keeps its sectors busy, and its completion is taken without touching memory.

import type {
  DiskEndpoint,
  DiskOperation,
  DiskRequest,
  DiskStatus,
  GuestRam,
  IrqLine,
  OutputSink,
  StateObject,
} from '../contracts.ts';
import { type Chain, cut, gather, scatter } from '../virtio/chain.ts';
import type { VirtioModel } from '../virtio/model.ts';
import { VirtioPci } from '../virtio/pci.ts';
import { DeviceType } from '../virtio/registers.ts';
import {
  BlkFeature,
  HEADER_BYTES,
  PENDING_BYTES_MAX,
  PENDING_MAX,
  REQUEST_BYTES_MAX,
  RequestStatus,
  SERIAL_BYTES,
} from './layout.ts';
import { mustFollow } from './order.ts';
import { type BlkLimits, configSpace, parseRequest } from './request.ts';

const REQUEST_QUEUE = 0;

export type VirtioBlkOptions = {
  readonly ram: GuestRam;
  readonly intx: IrqLine;
  readonly output: OutputSink;
  readonly disk: number;
  readonly sectors: number; // of 512 bytes
  readonly isReadOnly: boolean;
  readonly serial: string; // up to 20 ASCII characters
};

export type BlkCounters = {
  reads: number;
  writes: number;
  flushes: number;
  others: number;
  held: number; // requests that had to wait for an overlapping one
  refused: number; // requests the guest made wrongly, answered with an error
  ioErrors: number; // requests the disk failed
  badCompletion: number; // a read answered 'ok' with the wrong number of bytes; the guest got an error
  unknownCompletion: number; // completions of no request in flight
  lostCompletion: number; // completions the guest no longer wanted (reset, or the device stopped)
};

// A request taken from the guest and not answered yet; `request.data` is never written again.
type Pending = {
  readonly request: DiskRequest;
  readonly head: number;
  readonly buffers: readonly number[]; // address, bytes, address, bytes...: all writable ones
  isIssued: boolean;
  isOrphan: boolean;
};

export type PendingState = {
  readonly id: number;
  readonly operation: DiskOperation;
  readonly offset: number;
  readonly bytes: number;
  readonly data: Uint8Array | null;
  readonly head: number;
  readonly buffers: readonly number[];
  readonly isIssued: boolean;
  readonly isOrphan: boolean;
};

export type VirtioBlkState = {
  readonly nextId: number;
  readonly pending: readonly PendingState[];
  readonly counters: StateObject;
};

export class VirtioBlk implements VirtioModel, DiskEndpoint {
  readonly name = 'virtio-blk';
  readonly deviceType = DeviceType.block;
  readonly classCode = 0x018000;
  readonly features: readonly number[];
  readonly queueSizes = [128];
  readonly configSpace: Uint8Array;
  readonly pci: VirtioPci;
  counters = noCounters();

  private readonly ram: GuestRam;
  private readonly output: OutputSink;
  private readonly disk: number;
  private readonly limits: BlkLimits;
  private readonly serial: Uint8Array;
  // In order of arrival.
  private pending: Pending[] = [];
  // Survives every reset: requests issued before one may still be in flight.
  private nextId = 1;

  constructor(options: VirtioBlkOptions) {
    const { ram, intx, output, disk, sectors, isReadOnly, serial } = options;
    if (!(Number.isSafeInteger(sectors) && sectors >= 0))
      throw new Error(`a disk cannot have ${sectors} sectors`);
    if (serial.length > SERIAL_BYTES || !/^[ -~]*$/.test(serial))
      throw new Error(`a disk's serial must be at most ${SERIAL_BYTES} ASCII characters`);
    this.ram = ram;
    this.output = output;
    this.disk = disk;
    this.limits = { sectors, isReadOnly };
    this.serial = new Uint8Array(SERIAL_BYTES);
    for (let i = 0; i < serial.length; i++) this.serial[i] = serial.charCodeAt(i);
    this.configSpace = configSpace(sectors);
    const { sizeMax, segmentsMax, blockSize, flush, readOnly, discard, writeZeroes } = BlkFeature;
    const changing = isReadOnly ? [readOnly] : [discard, writeZeroes];
    this.features = [sizeMax, segmentsMax, blockSize, flush, ...changing];
    this.pci = new VirtioPci({ ram, intx, model: this });
  }

  serve(queue: number): void {
    this.pci.drain(
      queue,
      (chain) => this.take(chain),
      () => this.hasRoom(),
    );
  }

  // Input disk-completion.
  complete(id: number, status: DiskStatus, data: Uint8Array | undefined): boolean {
    const index = this.pending.findIndex(({ request, isIssued }) => isIssued && request.id === id);
    const pending = this.pending[index];
    if (pending === undefined) {
      this.counters.unknownCompletion++;
      return false;
    }
    this.pending.splice(index, 1);
    if (pending.isOrphan || !this.pci.isReady(REQUEST_QUEUE)) this.counters.lostCompletion++;
    else this.answer(pending, status, data);
    this.issueFreed();
    this.serve(REQUEST_QUEUE);
    return true;
  }

  // What is out at the disk, in order of issue: to be issued again by who takes the machine over.
  pendingRequests(): DiskRequest[] {
    return this.pending.filter(({ isIssued }) => isIssued).map(({ request }) => request);
  }

  deviceReset(): void {
    this.pending = this.pending.filter(({ isIssued }) => isIssued);
    for (const pending of this.pending) pending.isOrphan = true;
  }

  powerReset(): void {
    this.counters = noCounters();
  }

  state(): VirtioBlkState {
    return {
      nextId: this.nextId,
      pending: this.pending.map(({ request, head, buffers, isIssued, isOrphan }) => {
        const { id, operation, offset, bytes } = request;
        const data = request.data ?? null;
        return { id, operation, offset, bytes, data, head, buffers, isIssued, isOrphan };
      }),
      counters: { ...this.counters },
    };
  }

  restore(state: StateObject): void {
    const from = state as VirtioBlkState;
    this.nextId = from.nextId;
    this.pending = from.pending.map((saved) => {
      const { id, operation, offset, bytes, head, buffers, isIssued, isOrphan } = saved;
      const data = saved.data ?? undefined;
      const kind = 'disk-request';
      const request = { kind, disk: this.disk, id, operation, offset, bytes, data } as const;
      return { request, head, buffers, isIssued, isOrphan };
    });
    this.counters = { ...(from.counters as BlkCounters) };
  }

  // Room for one more of the largest, since a request's size is known only once it is taken.
  private hasRoom(): boolean {
    let bytes = 0;
    for (const { request } of this.pending) if (carriesData(request)) bytes += request.bytes;
    return this.pending.length < PENDING_MAX && bytes + REQUEST_BYTES_MAX <= PENDING_BYTES_MAX;
  }

  private take(chain: Chain): void {
    const { head, writable } = chain;
    if (chain.readableBytes < HEADER_BYTES || chain.writableBytes < 1) {
      this.pci.fail('request-shape');
      return;
    }
    const parsed = parseRequest(this.ram, chain, this.limits);
    if (parsed.kind === 'identify') {
      scatter(this.ram, writable, 0, this.serial.subarray(0, chain.writableBytes - 1));
      this.finish(head, writable, RequestStatus.ok);
    } else if (parsed.kind === 'answer') {
      if (parsed.status !== RequestStatus.ok) this.counters.refused++;
      this.finish(head, writable, parsed.status);
    } else {
      this.capture(chain, parsed.operation, parsed.offset, parsed.bytes);
    }
  }

  private capture(chain: Chain, operation: DiskOperation, offset: number, bytes: number): void {
    const isWrite = operation === 'write';
    const data = isWrite ? gather(this.ram, chain.readable, HEADER_BYTES, bytes) : undefined;
    const id = this.nextId++;
    const kind = 'disk-request';
    const request = { kind, disk: this.disk, id, operation, offset, bytes, data } as const;
    const buffers = chain.writable.flatMap((segment) => [segment.address, segment.bytes]);
    const pending = { request, head: chain.head, buffers, isIssued: false, isOrphan: false };
    this.count(operation);
    this.pending.push(pending);
    if (this.isBlocked(this.pending.length - 1)) this.counters.held++;
    else this.issue(pending);
  }

  private count(operation: DiskOperation): void {
    if (operation === 'read') this.counters.reads++;
    else if (operation === 'write') this.counters.writes++;
    else if (operation === 'flush') this.counters.flushes++;
    else this.counters.others++;
  }

  // Does an earlier request, issued or held, work on the same sectors?
  private isBlocked(index: number): boolean {
    const { request } = this.pending[index]!;
    for (let i = 0; i < index; i++) if (mustFollow(request, this.pending[i]!.request)) return true;
    return false;
  }

  private issueFreed(): void {
    for (const [index, pending] of this.pending.entries())
      if (!pending.isIssued && !this.isBlocked(index)) this.issue(pending);
  }

  private issue(pending: Pending): void {
    pending.isIssued = true;
    this.output(pending.request);
  }

  private answer(pending: Pending, status: DiskStatus, data: Uint8Array | undefined): void {
    const { request, head } = pending;
    const buffers = [];
    for (let i = 0; i < pending.buffers.length; i += 2)
      buffers.push({ address: pending.buffers[i]!, bytes: pending.buffers[i + 1]! });
    let result: number = statusByte(status);
    if (request.operation === 'read') {
      let bytes = data;
      if (status === 'ok' && bytes?.length !== request.bytes) {
        this.counters.badCompletion++;
        result = RequestStatus.ioError;
      }
      // A failed read must not leave in the buffers what was there: we say that we wrote them.
      if (result !== RequestStatus.ok) bytes = new Uint8Array(request.bytes);
      scatter(this.ram, buffers, 0, bytes!);
    }
    if (result !== RequestStatus.ok) this.counters.ioErrors++;
    this.finish(head, buffers, result);
  }

  // The status is the last writable byte, so all of them count as written.
  private finish(head: number, buffers: Chain['writable'], status: number): void {
    let bytes = 0;
    for (const segment of buffers) bytes += segment.bytes;
    scatter(this.ram, cut(buffers, bytes - 1, 1), 0, Uint8Array.of(status));
    this.pci.give(REQUEST_QUEUE, head, Math.min(bytes, 0xffff_ffff));
  }
}

function carriesData(request: DiskRequest): boolean {
  return request.operation === 'read' || request.operation === 'write';
}

function statusByte(status: DiskStatus): number {
  if (status === 'ok') return RequestStatus.ok;
  return status === 'unsupported' ? RequestStatus.unsupported : RequestStatus.ioError;
}

function noCounters(): BlkCounters {
  return {
    reads: 0,
    writes: 0,
    flushes: 0,
    others: 0,
    held: 0,
    refused: 0,
    ioErrors: 0,
    badCompletion: 0,
    unknownCompletion: 0,
    lostCompletion: 0,
  };
}

// A descriptor chain, read once and checked completely.
//
// The table belongs to the guest, which may write anything into it, also while a request is in
// flight. So a chain is walked a single time, when it is taken: every buffer is checked against
// guest memory and copied into plain segments, and nobody looks at the descriptors again.

import type { GuestRam } from '../contracts.ts';
import { CHAIN_DESCRIPTORS_MAX } from './limits.ts';
import { DESCRIPTOR, DESCRIPTOR_BYTES, DescriptorFlag } from './registers.ts';

// Why a device stopped and asked for a reset; each has a counter.
export const BROKEN_REASONS = [
  'queue-size', // enabled with a size that is zero, too large or no power of two
  'queue-address', // a ring misaligned or not in memory
  'ring-index', // more chains announced than the ring holds
  'head-index', // a chain that starts outside the table
  'next-index', // a chain that continues outside the table
  'loop', // a chain longer than its table
  'chain-too-long', // more than CHAIN_DESCRIPTORS_MAX descriptors
  'buffer-address', // a buffer not wholly in memory
  'buffer-order', // a buffer for reading after one for writing
  'indirect-refused', // an indirect table though that was not negotiated
  'indirect-nested', // an indirect table inside an indirect table
  'indirect-chained', // an indirect table and a next descriptor at once
  'indirect-table', // an indirect table of wrong length or not in memory
  'request-shape', // buffers that cannot hold the request at all
] as const;
export type BrokenReason = (typeof BROKEN_REASONS)[number];

export type Segment = { readonly address: number; readonly bytes: number };

export type Chain = {
  readonly head: number;
  readonly readable: readonly Segment[]; // the device reads
  readonly writable: readonly Segment[]; // the device writes
  readonly readableBytes: number;
  readonly writableBytes: number;
};

export type ChainResult =
  | { readonly ok: true; readonly chain: Chain }
  | { readonly ok: false; readonly reason: BrokenReason };

export type ChainOptions = {
  readonly ram: GuestRam;
  readonly table: number; // guest-physical; checked when the queue was enabled
  readonly tableEntries: number;
  readonly head: number;
  readonly isIndirectAllowed: boolean;
};

export function readChain(options: ChainOptions): ChainResult {
  const { ram, head } = options;
  let { table, tableEntries } = options;
  const chain = new ChainBuilder(ram, head);
  let index = head;
  let isIndirect = false;
  let visited = 0; // of the present table
  for (let total = 1; ; total++) {
    if (index >= tableEntries) return refuse(total === 1 ? 'head-index' : 'next-index');
    if (++visited > tableEntries) return refuse('loop');
    if (total > CHAIN_DESCRIPTORS_MAX) return refuse('chain-too-long');
    const at = table + index * DESCRIPTOR_BYTES;
    const address = known(ram.readU64(at + DESCRIPTOR.address));
    const bytes = known(ram.readU32(at + DESCRIPTOR.bytes));
    const flags = known(ram.readU16(at + DESCRIPTOR.flags));
    const hasNext = (flags & DescriptorFlag.next) !== 0;

    if ((flags & DescriptorFlag.indirect) !== 0) {
      if (!options.isIndirectAllowed) return refuse('indirect-refused');
      if (isIndirect) return refuse('indirect-nested');
      if (hasNext) return refuse('indirect-chained');
      if (bytes === 0 || bytes % DESCRIPTOR_BYTES !== 0 || !ram.has(address, bytes))
        return refuse('indirect-table');
      isIndirect = true;
      table = address;
      tableEntries = bytes / DESCRIPTOR_BYTES;
      index = 0;
      visited = 0;
      continue;
    }

    const reason = chain.add(address, bytes, (flags & DescriptorFlag.write) !== 0);
    if (reason !== undefined) return refuse(reason);
    if (!hasNext) return { ok: true, chain };
    index = known(ram.readU16(at + DESCRIPTOR.next));
  }
}

class ChainBuilder implements Chain {
  readonly head: number;
  readonly readable: Segment[] = [];
  readonly writable: Segment[] = [];
  readableBytes = 0;
  writableBytes = 0;
  private readonly ram: GuestRam;

  constructor(ram: GuestRam, head: number) {
    this.ram = ram;
    this.head = head;
  }

  // An empty buffer adds nothing, wherever it points.
  add(address: number, bytes: number, isWritable: boolean): BrokenReason | undefined {
    if (!isWritable && this.writable.length > 0) return 'buffer-order';
    if (bytes === 0) return undefined;
    if (!this.ram.has(address, bytes)) return 'buffer-address';
    if (isWritable) {
      this.writable.push({ address, bytes });
      this.writableBytes += bytes;
    } else {
      this.readable.push({ address, bytes });
      this.readableBytes += bytes;
    }
    return undefined;
  }
}

// Bytes [offset, offset + bytes) of the segments laid end to end; fewer where they end earlier.
export function gather(
  ram: GuestRam,
  segments: readonly Segment[],
  offset: number,
  bytes: number,
): Uint8Array {
  const whole = new Uint8Array(Math.min(bytes, Math.max(0, totalBytes(segments) - offset)));
  let done = 0;
  for (const piece of cut(segments, offset, whole.length)) {
    if (!ram.read(piece.address, whole.subarray(done, done + piece.bytes)))
      throw new Error('virtio: a checked buffer left guest memory');
    done += piece.bytes;
  }
  return whole;
}

// Writes `data` at `offset` of the segments laid end to end, as far as they reach; how many bytes.
export function scatter(
  ram: GuestRam,
  segments: readonly Segment[],
  offset: number,
  data: Uint8Array,
): number {
  let done = 0;
  for (const piece of cut(segments, offset, data.length)) {
    if (!ram.write(piece.address, data.subarray(done, done + piece.bytes)))
      throw new Error('virtio: a checked buffer left guest memory');
    done += piece.bytes;
  }
  return done;
}

// The part [offset, offset + bytes) of the segments laid end to end.
export function cut(segments: readonly Segment[], offset: number, bytes: number): Segment[] {
  const result: Segment[] = [];
  let skip = offset;
  let left = bytes;
  for (const segment of segments) {
    if (left <= 0) break;
    if (skip >= segment.bytes) {
      skip -= segment.bytes;
      continue;
    }
    const take = Math.min(segment.bytes - skip, left);
    result.push({ address: segment.address + skip, bytes: take });
    skip = 0;
    left -= take;
  }
  return result;
}

export function totalBytes(segments: readonly Segment[]): number {
  let bytes = 0;
  for (const segment of segments) bytes += segment.bytes;
  return bytes;
}

function refuse(reason: BrokenReason): ChainResult {
  return { ok: false, reason };
}

// For reads inside areas that were checked before: anything else is a mistake of ours.
export function known(value: number | undefined): number {
  if (value === undefined) throw new Error('virtio: a checked area left guest memory');
  return value;
}

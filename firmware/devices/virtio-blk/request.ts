// What a guest's request means: its header and data range, checked against the disk.

import type { DiskOperation, GuestRam } from '../contracts.ts';
import { type Chain, gather } from '../virtio/chain.ts';
import {
  CONFIG,
  CONFIG_BYTES,
  HEADER,
  HEADER_BYTES,
  RANGE,
  RANGE_BYTES,
  RANGE_SECTORS_MAX,
  RANGE_UNMAP,
  REQUEST_BYTES_MAX,
  RequestStatus,
  RequestType,
  SECTOR_BYTES,
  SEGMENT_BYTES_MAX,
  SEGMENTS_MAX,
} from './layout.ts';

export type BlkLimits = { readonly sectors: number; readonly isReadOnly: boolean };

export type Parsed =
  // For the disk.
  | {
      readonly kind: 'request';
      readonly operation: DiskOperation;
      readonly offset: number;
      readonly bytes: number;
    }
  | { readonly kind: 'identify' }
  // Answered at once.
  | { readonly kind: 'answer'; readonly status: number };

// The chain has a whole header and at least the status byte.
export function parseRequest(ram: GuestRam, chain: Chain, limits: BlkLimits): Parsed {
  const header = view(gather(ram, chain.readable, 0, HEADER_BYTES));
  const sector = sectorAt(header, HEADER.sector);
  switch (header.getUint32(HEADER.type, true)) {
    case RequestType.read:
      return transfer('read', sector, chain.writableBytes - 1, limits);
    case RequestType.write:
      return transfer('write', sector, chain.readableBytes - HEADER_BYTES, limits);
    case RequestType.flush:
      return { kind: 'request', operation: 'flush', offset: 0, bytes: 0 };
    case RequestType.identify:
      return { kind: 'identify' };
    case RequestType.discard:
      return range('discard', ram, chain, limits);
    case RequestType.writeZeroes:
      return range('write-zeroes', ram, chain, limits);
    default:
      return answer(RequestStatus.unsupported);
  }
}

function transfer(
  operation: 'read' | 'write',
  sector: number,
  bytes: number,
  limits: BlkLimits,
): Parsed {
  if (operation === 'write' && limits.isReadOnly) return answer(RequestStatus.ioError);
  if (bytes % SECTOR_BYTES !== 0 || bytes > REQUEST_BYTES_MAX) return answer(RequestStatus.ioError);
  if (sector + bytes / SECTOR_BYTES > limits.sectors) return answer(RequestStatus.ioError);
  if (bytes === 0) return answer(RequestStatus.ok);
  return { kind: 'request', operation, offset: sector * SECTOR_BYTES, bytes };
}

// One range a request, as announced.
function range(
  operation: 'discard' | 'write-zeroes',
  ram: GuestRam,
  chain: Chain,
  limits: BlkLimits,
): Parsed {
  if (limits.isReadOnly) return answer(RequestStatus.ioError);
  if (chain.readableBytes !== HEADER_BYTES + RANGE_BYTES) return answer(RequestStatus.ioError);
  const body = view(gather(ram, chain.readable, HEADER_BYTES, RANGE_BYTES));
  const sector = sectorAt(body, RANGE.sector);
  const sectors = body.getUint32(RANGE.sectors, true);
  const allowedFlags = operation === 'write-zeroes' ? RANGE_UNMAP : 0;
  if ((body.getUint32(RANGE.flags, true) & ~allowedFlags) !== 0)
    return answer(RequestStatus.unsupported);
  if (sectors > RANGE_SECTORS_MAX || sector + sectors > limits.sectors)
    return answer(RequestStatus.ioError);
  if (sectors === 0) return answer(RequestStatus.ok);
  const bytes = sectors * SECTOR_BYTES;
  return { kind: 'request', operation, offset: sector * SECTOR_BYTES, bytes };
}

export function configSpace(sectors: number): Uint8Array {
  const space = new Uint8Array(CONFIG_BYTES);
  const put = view(space);
  put.setBigUint64(CONFIG.capacity, BigInt(sectors), true);
  put.setUint32(CONFIG.sizeMax, SEGMENT_BYTES_MAX, true);
  put.setUint32(CONFIG.segmentsMax, SEGMENTS_MAX, true);
  put.setUint32(CONFIG.blockSize, SECTOR_BYTES, true);
  put.setUint32(CONFIG.discardSectorsMax, RANGE_SECTORS_MAX, true);
  put.setUint32(CONFIG.discardSegmentsMax, 1, true);
  put.setUint32(CONFIG.discardAlignment, 8, true); // pages of 4 KiB
  put.setUint32(CONFIG.writeZeroesSectorsMax, RANGE_SECTORS_MAX, true);
  put.setUint32(CONFIG.writeZeroesSegmentsMax, 1, true);
  put.setUint8(CONFIG.writeZeroesMayUnmap, 1);
  return space;
}

// 64 bits as a number: above 2^53 inexact, and then beyond every disk anyway.
function sectorAt(from: DataView, offset: number): number {
  return from.getUint32(offset + 4, true) * 2 ** 32 + from.getUint32(offset, true);
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function answer(status: number): Parsed {
  return { kind: 'answer', status };
}

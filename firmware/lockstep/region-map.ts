// Which regions of a disk were written since something: a bit a region, coarse, so that the map of the largest disk
// is small enough to be written often. On its medium it lies in sectors, each with a sum of its own: a sector is
// written whole or not at all, so a cut leaves bits that are set too early and none that is missing. Pure.
import { crc32 } from 'node:zlib';

export const MAP_SECTOR_BYTES = 512;
/** What a sector holds of the map, before its sum. */
const BITS_BYTES = MAP_SECTOR_BYTES - 4;
/** Of a disk of up to 512 GiB; beyond that regions grow, and the map does not. */
export const REGION_BYTES_MIN = 4 << 20;
const REGIONS_MAX = 2 ** 17;

export interface ByteRange {
  readonly offset: number;
  readonly bytes: number;
}

export class RegionMap {
  readonly diskBytes: number;
  readonly regionBytes: number;
  readonly regions: number;
  /** How many are marked. */
  marked = 0;
  private readonly bits: Uint8Array;

  constructor(diskBytes: number) {
    this.diskBytes = diskBytes;
    let regionBytes = REGION_BYTES_MIN;
    while (diskBytes / regionBytes > REGIONS_MAX) regionBytes *= 2;
    this.regionBytes = regionBytes;
    this.regions = Math.ceil(diskBytes / regionBytes);
    this.bits = new Uint8Array(Math.ceil(this.regions / 8));
  }

  has(region: number): boolean {
    return ((this.bits[region >>> 3] as number) & (1 << (region & 7))) !== 0;
  }

  mark(region: number): void {
    if (this.has(region)) return;
    this.bits[region >>> 3] = (this.bits[region >>> 3] as number) | (1 << (region & 7));
    this.marked++;
  }

  clear(region: number): void {
    if (!this.has(region)) return;
    this.bits[region >>> 3] = (this.bits[region >>> 3] as number) & ~(1 << (region & 7));
    this.marked--;
  }

  markAll(): void {
    for (let region = 0; region < this.regions; region++) this.mark(region);
  }

  /** First and last region that the bytes touch. */
  span({ offset, bytes }: ByteRange): readonly [number, number] {
    const last = Math.floor((offset + Math.max(1, bytes) - 1) / this.regionBytes);
    return [Math.floor(offset / this.regionBytes), Math.min(last, this.regions - 1)];
  }

  markBytes(range: ByteRange): void {
    const [first, last] = this.span(range);
    for (let region = first; region <= last; region++) this.mark(region);
  }

  hasAllOf(range: ByteRange): boolean {
    const [first, last] = this.span(range);
    for (let region = first; region <= last; region++) if (!this.has(region)) return false;
    return true;
  }

  /** What is marked in the other, too; both are of the same disk. */
  add(other: RegionMap): void {
    if (other.diskBytes !== this.diskBytes) throw new Error('a map of another disk');
    for (let at = 0; at < this.bits.length; at++) {
      if (other.bits[at] === 0) continue;
      for (let region = at * 8; region < at * 8 + 8; region++) {
        if (region < this.regions && other.has(region)) this.mark(region);
      }
    }
  }

  /** Marked bytes, neighbours together, in order. */
  *ranges(): Generator<ByteRange> {
    for (let region = 0; region < this.regions; ) {
      if ((region & 7) === 0 && this.bits[region >>> 3] === 0) {
        region += 8;
        continue;
      }
      const first = region;
      while (region < this.regions && this.has(region)) region++;
      if (region > first) {
        const offset = first * this.regionBytes;
        yield { offset, bytes: Math.min(region * this.regionBytes, this.diskBytes) - offset };
      } else region++;
    }
  }

  get bytes(): number {
    let bytes = 0;
    for (const range of this.ranges()) bytes += range.bytes;
    return bytes;
  }

  // ---- on its medium ------------------------------------------------------------------------

  get sectors(): number {
    return Math.ceil(this.bits.length / BITS_BYTES);
  }

  sectorOf(region: number): number {
    return Math.floor((region >>> 3) / BITS_BYTES);
  }

  sector(index: number): Uint8Array {
    const bits = this.bits.subarray(index * BITS_BYTES, (index + 1) * BITS_BYTES);
    return sealed(bits);
  }

  /** False: these are not the bytes of a sector of a map. */
  takeSector(index: number, sector: Uint8Array): boolean {
    const bits = opened(sector);
    if (bits === undefined) return false;
    const first = index * BITS_BYTES * 8;
    const last = Math.min(this.regions, first + BITS_BYTES * 8);
    for (let region = first; region < last; region++) {
      const at = region - first;
      if (((bits[at >>> 3] as number) & (1 << (at & 7))) !== 0) this.mark(region);
    }
    return true;
  }
}

/** A sector with its sum: of `bytes`, which may be fewer. */
export function sealed(bytes: Uint8Array): Uint8Array {
  const sector = new Uint8Array(MAP_SECTOR_BYTES);
  sector.set(bytes);
  const sum = crc32(sector.subarray(0, BITS_BYTES));
  new DataView(sector.buffer).setUint32(BITS_BYTES, sum, true);
  return sector;
}

/** What it was made of, with zeros behind; undefined: altered, or never written. */
export function opened(sector: Uint8Array): Uint8Array | undefined {
  if (sector.length !== MAP_SECTOR_BYTES) return undefined;
  const bytes = sector.subarray(0, BITS_BYTES);
  const view = new DataView(sector.buffer, sector.byteOffset, sector.length);
  return crc32(bytes) === view.getUint32(BITS_BYTES, true) ? bytes : undefined;
}

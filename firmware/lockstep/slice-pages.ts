// The pages of a slice that is closed where no position is (docs/decisions/0051): whole pages with
// their numbers, in parts that fit the channel's messages. Bytes come from a peer: reading never throws.

import type { MemoryBanks } from '../machine/memory-banks.ts';
import { PAGE_BYTES } from '../machine/memory-map.ts';

const RECORD_BYTES = 4 + PAGE_BYTES;
/** A part, with the engine's state beside it, fits into a piece of the stream. */
const PAGES_A_PART = 48;

/** Where a recorder finds what the guest has written. */
export interface SliceMemory {
  readonly memory: MemoryBanks;
  /** One bit a page of RAM written since the last call. */
  takeDirty(): Uint8Array;
}

/** At least one part; the last one travels with the state. */
export function packPages({ memory, takeDirty }: SliceMemory): Uint8Array[] {
  const pages = pagesIn(takeDirty()).filter((page) => (page + 1) * PAGE_BYTES <= memory.bytes);
  const parts: Uint8Array[] = [];
  do {
    const some = pages.splice(0, PAGES_A_PART);
    const part = new Uint8Array(some.length * RECORD_BYTES);
    some.forEach((page, n) => {
      new DataView(part.buffer).setUint32(n * RECORD_BYTES, page, true);
      memory.read(page * PAGE_BYTES, part.subarray(n * RECORD_BYTES + 4, (n + 1) * RECORD_BYTES));
    });
    parts.push(part);
  } while (pages.length > 0);
  return parts;
}

/** Adds a part to the pages by number; why not, in words. */
export function unpackPages(
  part: Uint8Array,
  ramBytes: number,
  pages: Map<number, Uint8Array>,
): string | undefined {
  if (part.length % RECORD_BYTES !== 0) return `${part.length} bytes of pages`;
  const view = new DataView(part.buffer, part.byteOffset, part.length);
  for (let at = 0; at < part.length; at += RECORD_BYTES) {
    const page = view.getUint32(at, true);
    if ((page + 1) * PAGE_BYTES > ramBytes) return `page ${page}, beyond its memory`;
    pages.set(page, part.slice(at + 4, at + RECORD_BYTES));
  }
  return undefined;
}

function pagesIn(bitmap: Uint8Array): number[] {
  const pages: number[] = [];
  bitmap.forEach((byte, at) => {
    for (let bit = 0; bit < 8; bit++) if ((byte >> bit) & 1) pages.push(at * 8 + bit);
  });
  return pages;
}

// The length in front of an entry in the stream: LEB128, shortest form.
import { ENTRY_BYTES_MAX } from './limits.ts';

export function prefixBytes(entryBytes: number): number {
  return entryBytes < 0x80 ? 1 : entryBytes < 0x4000 ? 2 : 3;
}

/** Writes the prefix at the start of `into`; returns its length. */
export function writePrefix(into: Uint8Array, entryBytes: number): number {
  let rest = entryBytes;
  let at = 0;
  while (rest >= 0x80) {
    into[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  into[at++] = rest;
  return at;
}

/** Whether a prefix that was read whole is one a sender may write. */
export function isSoundPrefix(entryBytes: number, bytes: number): boolean {
  return entryBytes >= 1 && entryBytes <= ENTRY_BYTES_MAX && prefixBytes(entryBytes) === bytes;
}

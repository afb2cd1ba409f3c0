// The length in front of a message in the stream: LEB128, shortest form.
import { MESSAGE_BYTES_MAX } from './limits.ts';

export function prefixBytes(messageBytes: number): number {
  return messageBytes < 0x80 ? 1 : messageBytes < 0x4000 ? 2 : 3;
}

/** Writes the prefix at the start of `into`; returns its length. */
export function writePrefix(into: Uint8Array, messageBytes: number): number {
  let rest = messageBytes;
  let at = 0;
  while (rest >= 0x80) {
    into[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  into[at++] = rest;
  return at;
}

/** Whether a prefix that was read whole is one a sender may write. */
export function isSoundPrefix(messageBytes: number, bytes: number): boolean {
  return (
    messageBytes >= 1 && messageBytes <= MESSAGE_BYTES_MAX && prefixBytes(messageBytes) === bytes
  );
}

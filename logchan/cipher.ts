// Sealing and opening one direction of a session: AES-256-GCM, the header as associated data, the
// nonce made of direction and frame counter. This is the plain version on node:crypto; the native
// one (native/ring) computes the same bytes and is what ports use when the addon is there.
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import type { DirectionKey } from './keys.ts';
import { TAG_BYTES } from './limits.ts';
import { HEADER_BYTES, writeU32, writeU48 } from './wire.ts';

export interface FrameCipher {
  /**
   * Seals plain[0, bytes) behind the header that stands at the start of `frame`, tag included.
   * The caller sees to it that no counter is used twice.
   */
  seal(counter: number, frame: Uint8Array, plain: Uint8Array, bytes: number): void;
  /**
   * Opens the frame whose header is at `start` and whose body ends at `end` into `plain`; the
   * number of plain bytes, or -1 when it is not authentic (what `plain` then holds is void).
   */
  open(counter: number, frame: Uint8Array, start: number, end: number, plain: Uint8Array): number;
}

export type CipherFactory = (key: DirectionKey) => FrameCipher;

const ALGORITHM = 'aes-256-gcm';
const OPTIONS = { authTagLength: TAG_BYTES } as const;
const NONCE_COUNTER_AT = 6;

export class NodeCipher implements FrameCipher {
  private readonly key: KeyObject;
  private readonly nonce = new Uint8Array(12);

  constructor({ key, direction }: DirectionKey) {
    this.key = createSecretKey(key);
    writeU32(this.nonce, 0, direction);
  }

  seal(counter: number, frame: Uint8Array, plain: Uint8Array, bytes: number): void {
    writeU48(this.nonce, NONCE_COUNTER_AT, counter);
    const cipher = createCipheriv(ALGORITHM, this.key, this.nonce, OPTIONS);
    cipher.setAAD(frame.subarray(0, HEADER_BYTES));
    frame.set(cipher.update(plain.subarray(0, bytes)), HEADER_BYTES);
    cipher.final();
    frame.set(cipher.getAuthTag(), HEADER_BYTES + bytes);
  }

  open(counter: number, frame: Uint8Array, start: number, end: number, plain: Uint8Array): number {
    const bodyAt = start + HEADER_BYTES;
    const tagAt = end - TAG_BYTES;
    if (tagAt < bodyAt || tagAt - bodyAt > plain.length) return -1;
    writeU48(this.nonce, NONCE_COUNTER_AT, counter);
    const decipher = createDecipheriv(ALGORITHM, this.key, this.nonce, OPTIONS);
    decipher.setAAD(frame.subarray(start, bodyAt));
    decipher.setAuthTag(frame.subarray(tagAt, end));
    plain.set(decipher.update(frame.subarray(bodyAt, tagAt)));
    try {
      decipher.final();
    } catch {
      return -1; // the one thing final() throws for is a tag that does not fit
    }
    return tagAt - bodyAt;
  }
}

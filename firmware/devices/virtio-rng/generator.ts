// The machine's source of random bytes: ChaCha20 with fast key erasure.
//
// Each request computes blocks under the present key, takes the first 32 bytes as the next key and
// hands out the rest. So the state is one key: small to save, equal on both boards, and of no use
// for finding out what was handed out before. A reseed mixes, never replaces: it cannot make the
// state easier to guess than it was.
//
// ChaCha20: RFC 8439, 2.3; a key is used for one request only, the counter runs from 0. The nonce
// is a name: other generators may be seeded with the same bytes and must not give the same stream.

import type { EntropySource } from '../contracts.ts';

export const SEED_BYTES = 32;
const BLOCK_BYTES = 64;
const NONCE = Uint32Array.of(0x74726976, 0x722d6f69, 0x0000676e); // "virtio-rng"

export class ChaChaGenerator implements EntropySource {
  #key: Uint8Array;

  constructor(seed: Uint8Array) {
    if (seed.length !== SEED_BYTES) throw new Error(`a seed has ${SEED_BYTES} bytes`);
    this.#key = seed.slice();
  }

  fill(into: Uint8Array): void {
    const blocks = Math.ceil((SEED_BYTES + into.length) / BLOCK_BYTES);
    const stream = new Uint8Array(blocks * BLOCK_BYTES);
    for (let i = 0; i < blocks; i++) chachaBlock(this.#key, i, NONCE, stream, i * BLOCK_BYTES);
    this.#key = stream.slice(0, SEED_BYTES);
    into.set(stream.subarray(SEED_BYTES, SEED_BYTES + into.length));
  }

  reseed(seed: Uint8Array): void {
    if (seed.length !== SEED_BYTES) throw new Error(`a seed has ${SEED_BYTES} bytes`);
    for (let i = 0; i < SEED_BYTES; i++) this.#key[i] = this.#key[i]! ^ seed[i]!;
    // One step on, so that two seeds in a row cannot cancel each other.
    this.fill(new Uint8Array(0));
  }

  state(): Uint8Array {
    return this.#key.slice();
  }

  restore(state: Uint8Array): void {
    if (state.length !== SEED_BYTES) throw new Error('this is no state of a generator');
    this.#key = state.slice();
  }
}

export function chachaBlock(
  key: Uint8Array,
  counter: number,
  nonce: Uint32Array,
  into: Uint8Array,
  offset: number,
): void {
  const input = new Uint32Array(16);
  input.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]); // "expand 32-byte k"
  const view = new DataView(key.buffer, key.byteOffset, SEED_BYTES);
  for (let i = 0; i < 8; i++) input[4 + i] = view.getUint32(4 * i, true);
  input[12] = counter;
  input.set(nonce, 13);
  const words = input.slice();
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) quarterRound(words, i, 4 + i, 8 + i, 12 + i);
    for (let i = 0; i < 4; i++)
      quarterRound(words, i, 4 + ((i + 1) % 4), 8 + ((i + 2) % 4), 12 + ((i + 3) % 4));
  }
  const out = new DataView(into.buffer, into.byteOffset + offset, BLOCK_BYTES);
  for (let i = 0; i < 16; i++) out.setUint32(4 * i, words[i]! + input[i]!, true);
}

function quarterRound(w: Uint32Array, a: number, b: number, c: number, d: number): void {
  w[a] = w[a]! + w[b]!;
  w[d] = rotate(w[d]! ^ w[a]!, 16);
  w[c] = w[c]! + w[d]!;
  w[b] = rotate(w[b]! ^ w[c]!, 12);
  w[a] = w[a]! + w[b]!;
  w[d] = rotate(w[d]! ^ w[a]!, 8);
  w[c] = w[c]! + w[d]!;
  w[b] = rotate(w[b]! ^ w[c]!, 7);
}

function rotate(value: number, left: number): number {
  return (value << left) | (value >>> (32 - left));
}

// The generator behind virtio-rng: ChaCha20 (RFC 8439) with a key that is replaced after every draw
// ("fast key erasure"), so that a captured machine state does not tell what was drawn before.
//
// The key is part of the machine's state and enters by the initial state and by entropy inputs.

import type { EntropySource } from '../devices/contracts.ts';

const KEY_BYTES = 32;
const BLOCK_BYTES = 64;
const SIGMA = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574] as const; // "expand 32-byte k"

export type EntropyState = { readonly key: Uint8Array };

export class Entropy implements EntropySource {
  #key: Uint8Array;

  constructor(seed: Uint8Array) {
    this.#key = checkedSeed(seed);
  }

  fill(into: Uint8Array): void {
    // Block 0 gives the next key, the blocks after it the output.
    const next = chacha20Block(this.#key, 0).slice(0, KEY_BYTES);
    for (let at = 0, counter = 1; at < into.length; at += BLOCK_BYTES, counter++) {
      const block = chacha20Block(this.#key, counter);
      into.set(block.subarray(0, Math.min(BLOCK_BYTES, into.length - at)), at);
    }
    this.#key = next;
  }

  // New entropy is mixed in: it can only add to what the key already holds.
  reseed(seed: Uint8Array): void {
    const mixed = checkedSeed(seed);
    const own = chacha20Block(this.#key, 0);
    for (let i = 0; i < KEY_BYTES; i++) mixed[i]! ^= own[i]!;
    this.#key = mixed;
  }

  state(): EntropyState {
    return { key: this.#key.slice() };
  }

  restore(state: EntropyState): void {
    this.#key = checkedSeed(state.key);
  }
}

function checkedSeed(seed: Uint8Array): Uint8Array {
  if (seed.length !== KEY_BYTES) throw new Error(`entropy seed of ${seed.length} bytes, not 32`);
  return seed.slice();
}

// One 64-byte block with an all-zero nonce; every key is used for one draw only.
export function chacha20Block(key: Uint8Array, counter: number): Uint8Array {
  const view = new DataView(key.buffer, key.byteOffset, KEY_BYTES);
  const input = new Uint32Array(16);
  input.set(SIGMA, 0);
  for (let i = 0; i < 8; i++) input[4 + i] = view.getUint32(4 * i, true);
  input[12] = counter;
  const x = input.slice();
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) quarterRound(x, i, 4 + i, 8 + i, 12 + i);
    for (let i = 0; i < 4; i++)
      quarterRound(x, i, 4 + ((i + 1) & 3), 8 + ((i + 2) & 3), 12 + ((i + 3) & 3));
  }
  const block = new Uint8Array(BLOCK_BYTES);
  const out = new DataView(block.buffer);
  for (let i = 0; i < 16; i++) out.setUint32(4 * i, x[i]! + input[i]!, true);
  return block;
}

function quarterRound(x: Uint32Array, a: number, b: number, c: number, d: number): void {
  const rotate = (value: number, by: number) => (value << by) | (value >>> (32 - by));
  x[a]! += x[b]!;
  x[d] = rotate(x[d]! ^ x[a]!, 16);
  x[c]! += x[d]!;
  x[b] = rotate(x[b]! ^ x[c]!, 12);
  x[a]! += x[b]!;
  x[d] = rotate(x[d]! ^ x[a]!, 8);
  x[c]! += x[d]!;
  x[b] = rotate(x[b]! ^ x[c]!, 7);
}

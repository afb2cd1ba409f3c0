// The machine's source of random bytes: ChaCha20 with fast key erasure.
//
// Each request computes blocks under the present key, takes the first 32 bytes as the next key and
// hands out the rest. So the state is one key: small to save, equal on both boards, and of no use
// for finding out what was handed out before.
//
// A key is used for one request only, the counter runs from 0. The nonce
// is a name: other generators may be seeded with the same bytes and must not give the same stream.

import { BLOCK_BYTES, chachaBlock } from '../chacha.ts';
import type { EntropySource } from '../contracts.ts';

export const SEED_BYTES = 32;
const NONCE = Uint32Array.of(0x74726976, 0x722d6f69, 0x0000676e); // "virtio-rng"

export class ChaChaGenerator implements EntropySource {
  private key: Uint8Array;

  constructor(seed: Uint8Array) {
    if (seed.length !== SEED_BYTES) throw new Error(`a seed has ${SEED_BYTES} bytes`);
    this.key = seed.slice();
  }

  fill(into: Uint8Array): void {
    const blocks = Math.ceil((SEED_BYTES + into.length) / BLOCK_BYTES);
    const stream = new Uint8Array(blocks * BLOCK_BYTES);
    for (let i = 0; i < blocks; i++) chachaBlock(this.key, i, NONCE, stream, i * BLOCK_BYTES);
    this.key = stream.slice(0, SEED_BYTES);
    into.set(stream.subarray(SEED_BYTES, SEED_BYTES + into.length));
  }

  state(): Uint8Array {
    return this.key.slice();
  }

  restore(state: Uint8Array): void {
    if (state.length !== SEED_BYTES) throw new Error('this is no state of a generator');
    this.key = state.slice();
  }
}

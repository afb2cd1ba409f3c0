// The generator behind virtio-rng: ChaCha20 (RFC 8439) with a key that is replaced after every draw
// ("fast key erasure"), so that a captured machine state does not tell what was drawn before.
//
// The key is part of the machine's state; the first one comes with the initial state.

import { BLOCK_BYTES, chachaBlock } from '../devices/chacha.ts';
import type { EntropySource } from '../devices/contracts.ts';

const KEY_BYTES = 32;
const NONCE = new Uint32Array(3);

export type EntropyState = { readonly key: Uint8Array };

export class Entropy implements EntropySource {
  private key: Uint8Array;

  constructor(seed: Uint8Array) {
    this.key = checkedSeed(seed);
  }

  fill(into: Uint8Array): void {
    // Block 0 gives the next key, the blocks after it the output.
    const block = new Uint8Array(BLOCK_BYTES);
    chachaBlock(this.key, 0, NONCE, block, 0);
    const next = block.slice(0, KEY_BYTES);
    for (let at = 0, counter = 1; at < into.length; at += BLOCK_BYTES, counter++) {
      chachaBlock(this.key, counter, NONCE, block, 0);
      into.set(block.subarray(0, Math.min(BLOCK_BYTES, into.length - at)), at);
    }
    this.key = next;
  }

  state(): EntropyState {
    return { key: this.key.slice() };
  }

  restore(state: EntropyState): void {
    this.key = checkedSeed(state.key);
  }
}

function checkedSeed(seed: Uint8Array): Uint8Array {
  if (seed.length !== KEY_BYTES) throw new Error(`entropy seed of ${seed.length} bytes, not 32`);
  return seed.slice();
}

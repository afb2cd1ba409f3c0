// The block function of ChaCha20 (RFC 8439, 2.3): what the generators of random bytes are made of.

export const BLOCK_BYTES = 64;

// Writes the block of this key (32 bytes), counter and nonce (three words) at an offset.
export function chachaBlock(
  key: Uint8Array,
  counter: number,
  nonce: Uint32Array,
  into: Uint8Array,
  offset: number,
): void {
  const input = new Uint32Array(16);
  input.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]); // "expand 32-byte k"
  const view = new DataView(key.buffer, key.byteOffset, 32);
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

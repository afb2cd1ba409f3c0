// Guest memory through its mapping against ordinary memory of the same size: sharing must be free.
import { GuestMemory } from '../../native/index.ts';
import type { Comparison } from './frame.ts';

const BYTES = 64 << 20;

/** Milliseconds to write and read back every 64-bit word once. */
function sweep(words: Float64Array): number {
  const started = performance.now();
  for (let i = 0; i < words.length; i++) words[i] = i;
  let sum = 0;
  for (let i = 0; i < words.length; i++) sum += words[i] as number;
  if (sum === 0) throw new Error('nothing was written');
  return performance.now() - started;
}

export async function comparisons(): Promise<Comparison[]> {
  const memory = new GuestMemory({ bytes: BYTES });
  const shared = new Float64Array(memory.buffer);
  const plain = new Float64Array(BYTES / 8);
  for (const words of [shared, plain]) sweep(words);
  return [
    {
      name: 'guest memory: sweep of 64 MiB, write and read',
      unit: 'ms',
      better: 'lower',
      rounds: 9,
      ours: { name: 'shared mapping', run: () => sweep(shared) },
      peer: { name: 'ordinary memory', run: () => sweep(plain) },
    },
  ];
}

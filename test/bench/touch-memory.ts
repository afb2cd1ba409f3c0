// Touches so many bytes of memory and gives them back; prints what a page took at its first touch, microseconds. A machine
// that is a guest itself may have no memory yet where nobody touched any: its host finds it page by page then, which no
// board has to wait for that stands on a floor of its own.
import { GuestMemory } from '../../native/index.ts';

const PAGE_BYTES = 4096;
const PIECE_BYTES = 1 << 20;

const bytes = Number(process.argv[2]);
const memory = new GuestMemory({ bytes });
const piece = new Uint8Array(PIECE_BYTES).fill(1);
const beganMs = performance.now();
for (let at = 0; at < bytes; at += PIECE_BYTES) memory.write(at, piece);
process.stdout.write(`${((performance.now() - beganMs) * 1000) / (bytes / PAGE_BYTES)}\n`);

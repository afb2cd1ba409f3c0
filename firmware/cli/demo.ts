// `npm run demo`: shows what works today, by doing it, and says plainly what does not yet.
import { type CpuSetup, GuestMemory, SoftEngine } from '../../native/index.ts';
import { version } from './version.ts';

const MIB = 1 << 20;

/** One guest memory seen through two mappings: what two threads of a board will share. */
function guestMemory(): string {
  const first = new GuestMemory({ bytes: 256 * MIB });
  const second = new GuestMemory({ token: first.token });
  new Uint8Array(first.buffer)[200 * MIB] = 0x5a;
  first.close();
  const seen = new Uint8Array(second.buffer)[200 * MIB];
  second.close();
  if (seen !== 0x5a) throw new Error('the second mapping does not see what the first wrote');
  return '256 MiB of guest memory, written through one mapping, read through another: same bytes';
}

/**
 * A guest of three instructions that counts for ever, run whole and in unequal pieces: the same
 * machine at the same position. It is what recording and replaying rests on.
 */
function countingGuest(): string {
  const instructions = 50_000_000n;
  const run = (slice: bigint): Uint8Array => {
    const memory = new GuestMemory({ bytes: 16 * MIB });
    new Uint8Array(memory.buffer).set(COUNTER, 0x1000);
    const engine = new SoftEngine(memory);
    engine.setup(realMode(0x1000));
    for (let at = 0n; at < instructions; at = engine.icount()) {
      engine.run(at + slice < instructions ? at + slice : instructions);
    }
    const state = engine.getState();
    engine.close();
    memory.close();
    return state;
  };
  const started = performance.now();
  const whole = run(instructions);
  const speed = Number(instructions) / (performance.now() - started) / 1000;
  if (Buffer.compare(whole, run(777_777n)) !== 0) throw new Error('slicing changed the guest');
  const millions = `${Number(instructions) / 1e6} million instructions`;
  return `a guest of ${millions}, whole and in pieces: same machine (${speed.toFixed(0)} M/s)`;
}

/** 16-bit code: inc ax; adc bx, ax; jmp back. */
const COUNTER = [0x40, 0x11, 0xc3, 0xeb, 0xfb];

function realMode(rip: number): CpuSetup {
  const segment = { selector: 0, base: 0, limit: 0xffff, attributes: 0x93 };
  const cs = { ...segment, attributes: 0x9b };
  const [cr0, cr3, cr4, efer, gdtBase, gdtLimit] = [0x10, 0, 0, 0, 0, 0xffff];
  const control = { cr0, cr3, cr4, efer, gdtBase, gdtLimit };
  return { rip, rflags: 2, registers: {}, cs, data: segment, ...control };
}

console.log(`Twinstep ${version()}\n`);
console.log(`works: ${guestMemory()}`);
console.log(`works: ${countingGuest()}`);
console.log(`
also works: twinstep guest, record, replay, log, link, doctor ("twinstep help")
not yet: pairing two boards. README.md has the state of each part.`);

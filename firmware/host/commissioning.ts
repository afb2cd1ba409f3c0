// Does this processor land where it should? A guest that counts its own branches in a register is run
// to many targets: the register must hold the target every time. One miss, and the board is refused.
import { GuestMemory, type VtxEngine as NativeVtx } from '../../native/index.ts';
import { type CpuSetup, ExitReason } from '../machine/engine.ts';

const CODE_AT = 0x1000;
const MEMORY_BYTES = 1 << 20;
/** Where getState() has EDX (native/softcpu/cpu.h). */
const EDX_AT = 16 + 2 * 8;

/** Both branches depend on random bits; EDX is raised by one before each. */
const COUNTING_LOOP = [
  ...[0x8d, 0x84, 0x80, 0x39, 0x30, 0, 0], // lea eax, [eax + eax * 4 + 12345]
  ...[0x42, 0xa9, 0, 0, 1, 0, 0x74, 2, 0x01, 0xc3], // inc edx; test eax, 10000h; jz; add ebx, eax
  ...[0x42, 0xa9, 0, 0, 2, 0, 0x75, 1, 0x90], // inc edx; test eax, 20000h; jnz; nop
];
const JUMP_BACK = [0xeb, 256 - COUNTING_LOOP.length - 2];

const FLAT = { base: 0, limit: 0xffffffff };
const SETUP: CpuSetup = {
  rip: CODE_AT,
  rflags: 2,
  registers: { rax: 1, rsp: 0x8000 },
  cs: { selector: 8, attributes: 0xc09b, ...FLAT },
  data: { selector: 16, attributes: 0xc093, ...FLAT },
  cr0: 0x11,
  cr3: 0,
  cr4: 0,
  efer: 0,
  gdtBase: 0,
  gdtLimit: 0,
};

/** So many landings a board tries before it takes the hardware engine: a fraction of a second. */
const LANDINGS = 500;
const LANDING_GAP = 100_000;

export interface Commissioning {
  readonly landings: number;
  /** The latest alarm, in branches. */
  readonly skidMax: number;
  /** The first target that was missed, in words; undefined: none was. */
  readonly problem: string | undefined;
}

/** Gaps of all sizes, the same every time. */
export function landingGaps(): () => number {
  let last = 1;
  return () => {
    last = (last * 48_271) % 2_147_483_647;
    return 1 + (last % LANDING_GAP);
  };
}

/** What this processor missed, in words; undefined: nothing. */
export function missedLanding(
  make: (memory: GuestMemory) => NativeVtx,
  landings = LANDINGS,
): string | undefined {
  try {
    const { landings: done, problem } = commission(make, landings, landingGaps());
    return problem === undefined ? undefined : `landing ${done}: ${problem}`;
  } catch (error) {
    return (error as Error).message;
  }
}

/** `nextGap` says how far the next target is from the last one, in branches, at least 1. */
export function commission(
  make: (memory: GuestMemory) => NativeVtx,
  landings: number,
  nextGap: () => number,
): Commissioning {
  const memory = new GuestMemory({ bytes: MEMORY_BYTES });
  new Uint8Array(memory.buffer).set([...COUNTING_LOOP, ...JUMP_BACK], CODE_AT);
  const engine = make(memory);
  try {
    engine.memoryWritten(0, MEMORY_BYTES);
    engine.setup(SETUP);
    let done = 0;
    let problem: string | undefined;
    for (let target = 0; done < landings && problem === undefined; done++) {
      target += nextGap();
      problem = landAt(engine, target);
    }
    return { landings: done, skidMax: engine.counters.skidMax, problem };
  } finally {
    engine.close();
    memory.close();
  }
}

function landAt(engine: NativeVtx, target: number): string | undefined {
  try {
    const reason = engine.run(BigInt(target));
    if (reason !== ExitReason.limit) return `the run to branch ${target} ended with ${reason}`;
  } catch (error) {
    return (error as Error).message;
  }
  const counted = new DataView(engine.getState().buffer).getUint32(EDX_AT, true);
  if (counted === target >>> 0) return undefined;
  return `the run to branch ${target} ended behind branch ${counted}`;
}

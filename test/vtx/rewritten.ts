// A guest that rewrites the handler of its own faults, as Linux does while it starts: the software engine
// executed the old one for the hardware engine, and must not remember it.
import { Exit, TestMachine } from '../softcpu/machine.ts';
import * as raw from '../softcpu/raw.ts';
import type { MakeEngine } from '../softcpu/under-test.ts';

const COUNT_AT = 0x5000;
const RDMSR = [0x0f, 0x32];

/** Flat segments; #GP counts and goes on behind the RDMSR that raised it. */
const HANDLER = [
  [0x2000, [0x90, 0x90, 0x90, ...raw.increment(COUNT_AT)]],
  // add esp, 4; add dword [esp], 2; iretd
  [0x2009, [0x83, 0xc4, 4, 0x83, 4, 0x24, 2, 0xcf]],
  [0x3000 + 13 * 8, [0, 0x20, 8, 0, 0, 0x8e, 0, 0]],
  [0x4008, [0xff, 0xff, 0, 0, 0, 0x9a, 0xcf, 0]],
  [0x4010, [0xff, 0xff, 0, 0, 0, 0x92, 0xcf, 0]],
  [0x4100, [23, 0, 0, 0x40, 0, 0, 0, 0, 111, 0, 0, 0x30, 0, 0]],
] as const;

/** Four exits, three faults, or something is remembered. */
export function runsRewritten(make: MakeEngine): { exits: bigint; faults: number } {
  const { segments, cpu } = raw.rawGuest(
    [0x0f, 0x01, 0x15, 0, 0x41, 0, 0, 0x0f, 0x01, 0x1d, 8, 0x41, 0, 0], // lgdt, lidt
    [0xea, 0x15, 0x10, 0, 0, 8, 0], // jmp 8:1015
    raw.movEcx(0xc0011029),
    RDMSR,
    // mov dword [2000], ...: three NOPs become one of three bytes.
    [0xc7, 0x05, 0, 0x20, 0, 0, 0x0f, 0x1f, 0, 0xff],
    ...[RDMSR, RDMSR, raw.halt],
  );
  const more = HANDLER.map(([address, bytes]) => ({ address, bytes: Uint8Array.from(bytes) }));
  const machine = new TestMachine({ segments: [...segments, ...more], cpu }, undefined, make);
  const reason = machine.engine.run(99n);
  if (reason !== Exit.halt) throw new Error(`it ended with exit ${reason}`);
  const faults = new DataView(machine.bytes.buffer).getUint32(COUNT_AT, true);
  const exits = machine.icount;
  machine.close();
  return { exits, faults };
}

// What a free run does not show of XSAVE: no bit of it, no leaf, and who sets CR4.OSXSAVE all the same gets #GP.
import { assert } from '../harness/index.ts';
import { Exit, TestMachine } from '../softcpu/machine.ts';
import * as raw from '../softcpu/raw.ts';
import type { MakeEngine } from '../softcpu/under-test.ts';

const ask = (leaf: number) => [...raw.movEax(leaf), 0x31, 0xc9, 0x0f, 0xa2]; // xor ecx, ecx; cpuid
const TELL_ECX = [0x89, 0xc8, 0xe7, 0x80]; // mov eax, ecx; out 80h, eax
const TELL_EAX = [0xe7, 0x80];
const SWITCH_ON = [0x0f, 0x20, 0xe0, 0x0d, 0, 0, 4, 0, 0x0f, 0x22, 0xe0]; // or cr4, OSXSAVE: no handler for its #GP
const XSAVE_BITS = 3 << 26;

export function hidesXsave(make: MakeEngine): void {
  const code = [ask(1), TELL_ECX, ask(0xd), TELL_EAX, SWITCH_ON, TELL_EAX, raw.halt];
  const machine = new TestMachine(raw.rawGuest(...code), undefined, make);
  try {
    assert.is(machine.engine.run(9n), Exit.portOut);
    assert.is((machine.engine.exit[2] ?? -1) & XSAVE_BITS, 0, 'of leaf 1');
    assert.is(machine.engine.run(9n), Exit.portOut);
    assert.is(machine.engine.exit[2], 0, 'leaf 0Dh');
    assert.is(machine.engine.run(9n), Exit.shutdown);
  } finally {
    machine.close();
  }
}

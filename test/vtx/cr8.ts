// A guest that raises and lowers CR8. Without an interrupt controller of KVM's own, KVM ends a run where CR8
// falls, as user space may have one, and takes CR8 from the page it shares with us at each entry.
import { assert } from '../harness/index.ts';
import type { Image } from '../softcpu/guest.ts';
import { Exit, TestMachine } from '../softcpu/machine.ts';
import * as raw from '../softcpu/raw.ts';
import type { MakeEngine } from '../softcpu/under-test.ts';

const CODE = [
  ...[0xb8, 9, 0, 0, 0, 0x44, 0x0f, 0x22, 0xc0, 0xe6, 0x80], // mov eax, 9; mov cr8, rax; out 80h, al
  ...[0x31, 0xc0, 0x44, 0x0f, 0x20, 0xc0, 0xe6, 0x80], // xor eax, eax; mov rax, cr8; out 80h, al
  ...[0xff, 0xc8, 0x44, 0x0f, 0x22, 0xc0, 0x31, 0xc0], // dec eax; mov cr8, rax; xor eax, eax
  ...[0x44, 0x0f, 0x20, 0xc0, 0xe6, 0x80, 0xf4], // mov rax, cr8; out 80h, al; hlt
];
const TOLD = [9, 9, 8];

/** 64-bit code over an identity map of 2 MiB. */
function guest(): Image {
  const { cpu, segments } = raw.rawGuest(CODE);
  const tables = [0x3003, 0x4003, 0x83].map((entry, n) => ({
    address: 0x2000 + n * 0x1000,
    bytes: Uint8Array.from([entry & 255, entry >> 8]),
  }));
  const isLong = { cr0: 0x8000_0011, cr3: 0x2000, cr4: 0x20, efer: 0x500 };
  return {
    segments: [...segments, ...tables],
    cpu: { ...cpu, ...isLong, cs: { ...cpu.cs, attributes: 0xa09b } },
  };
}

/** Each position on an engine of its own. */
export function keepsCr8(make: MakeEngine): void {
  let machine = new TestMachine(guest(), undefined, make);
  const told: number[] = [];
  try {
    for (;;) {
      const reason = machine.engine.run(machine.icount + 1n);
      if (reason === Exit.halt) break;
      if (reason === Exit.portOut) told.push(machine.engine.exit[2] ?? -1);
      if (reason !== Exit.limit) continue;
      const next = TestMachine.from(machine.view, make);
      machine.close();
      machine = next;
    }
    assert.equal([told, machine.icount], [TOLD, 4n]);
  } finally {
    machine.close();
  }
}

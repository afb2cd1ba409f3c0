// What counts as one: a test for each row of native/softcpu/ICOUNT.md, named by its first column. The
// guests are a few bytes of machine code; every vector leads to a HLT of its own.
import { existsSync, readFileSync } from 'node:fs';
import { assert, repoPath, suite } from '../harness/index.ts';
import { type Image, multibootCpu } from './guest.ts';
import { Exit, TestMachine } from './machine.ts';
import * as raw from './raw.ts';

const test = suite('softcpu/icount');

const CODE = raw.CODE_AT;
const HANDLERS = 0x6000; // HLT of vector v at HANDLERS + v
const SEGMENT_BYTES = 0x100000; // limit of the data segments
const ALWAYS = 1_000_000n;
const seen = new Set<string>();

function row(name: string, body: () => void): void {
  seen.add(name);
  test(name, body);
}

/** 32-bit ring 0 with a GDT, an IDT and data segments that end. */
function guest(...code: (readonly number[])[]): TestMachine {
  return new TestMachine(tabled(code.flat(), []));
}

function tabled(code: readonly number[], absent: readonly number[]): Image {
  const idt = new DataView(new ArrayBuffer(256 * 8));
  for (let v = 0; v < 256; v++) {
    idt.setUint32(v * 8, 0x80000 | (HANDLERS + v), true);
    idt.setUint32(v * 8 + 4, absent.includes(v) ? 0x0e00 : 0x8e00, true);
  }
  const gdt = new DataView(new ArrayBuffer(0x80));
  const descriptors = [0n, 0x00cf9b000000ffffn, 0x00cf93000000ffffn, 0x00cffb000000ffffn];
  for (const [n, value] of [...descriptors, 0x00cff3000000ffffn].entries()) {
    gdt.setBigUint64(n * 8, value, true);
  }
  const cpu = multibootCpu(CODE);
  return {
    segments: [
      { address: 0, bytes: new Uint8Array(idt.buffer) },
      { address: 0x900, bytes: new Uint8Array(gdt.buffer) },
      { address: HANDLERS, bytes: new Uint8Array(256).fill(0xf4) },
      { address: CODE, bytes: Uint8Array.of(...code, 0xf4) },
    ],
    cpu: {
      ...cpu,
      registers: { rsp: 0x8000 },
      data: { selector: 16, base: 0, limit: SEGMENT_BYTES - 1, attributes: 0xc093 },
      gdtBase: 0x900,
      gdtLimit: 0x7f,
    },
  };
}

/** 64-bit ring 0 over one page of 1 GiB. */
function longGuest(...code: (readonly number[])[]): TestMachine {
  const image = tabled(code.flat(), []);
  const table = (entry: number) =>
    Uint8Array.of(...new Uint8Array(Uint32Array.of(entry, 0).buffer));
  return new TestMachine({
    segments: [
      ...image.segments,
      { address: 0x10000, bytes: table(0x11007) },
      { address: 0x11000, bytes: table(0x87) },
    ],
    cpu: {
      ...image.cpu,
      cs: { selector: 8, base: 0, limit: 0xffffffff, attributes: 0xa09b },
      cr0: 0x80010033,
      cr3: 0x10000,
      cr4: 0x620,
      efer: 0x501,
    },
  });
}

function register(machine: TestMachine, index: number): bigint {
  return new DataView(machine.engine.getState().buffer).getBigUint64(16 + index * 8, true);
}
const rip = (machine: TestMachine) => Number(register(machine, 17));
const [EAX, ECX] = [0, 1];

/** Runs to the HLT at the end, or of a handler: instructions before it, and that handler's vector. */
function toHalt(machine: TestMachine): { count: number; vector: number | undefined } {
  assert.is(machine.run(ALWAYS), 'halt');
  const at = rip(machine) - 1;
  const inHandler = at >= HANDLERS && at < HANDLERS + 256;
  const count = Number(machine.icount) - 1;
  machine.close();
  return { count, vector: inHandler ? at - HANDLERS : undefined };
}

const counts = (expected: number, ...code: (readonly number[])[]) =>
  assert.equal(toHalt(guest(...code)), { count: expected, vector: undefined });
const traps = (vector: number, expected: number, ...code: (readonly number[])[]) =>
  assert.equal(toHalt(guest(...code)), { count: expected, vector });

const ud2 = [0x0f, 0x0b];
const wrmsr = (index: number, value: number) => [
  ...raw.movEcx(index),
  ...raw.movEax(value),
  ...[0x31, 0xd2, 0x0f, 0x30], // xor edx, edx; wrmsr
];
const push = (value: number) => [0x68, ...new Uint8Array(Uint32Array.of(value).buffer)];

row('ordinary instruction, any length or prefixes', () => {
  counts(1, raw.nop);
  counts(1, [0x66, 0x66, 0x66, 0x90]);
  counts(1, raw.movEax(5));
  counts(1, [...Array(14).fill(0x66), 0x90]);
  counts(3, raw.movEax(5), raw.increment(0x9000), [0x0f, 0xaf, 0xc0]); // imul eax, eax
});

row('taken and untaken branch, CALL, RET', () => {
  counts(1, [0xeb, 0x01], [0xf4]); // jmp over a HLT
  counts(2, [0x85, 0xe4], [0x74, 0x01]); // test esp, esp; jz, not taken, into... the next byte
  counts(2, [0xe8, 1, 0, 0, 0], [0xf4], [0xc3]); // call a RET behind a HLT
});

row('REP string instruction, each iteration', () => {
  counts(2 + 7, raw.movEdi(0x9000), raw.movEcx(7), raw.repStosb);
  const machine = guest(raw.movEdi(0x9000), raw.movEcx(7), raw.repStosb);
  for (let done = 1; done < 7; done++) {
    assert.is(machine.run(BigInt(2 + done)), 'limit');
    assert.is(register(machine, ECX), BigInt(7 - done));
    assert.is(rip(machine), CODE + 10);
  }
  machine.close();
});

row('REP string instruction with rCX = 0', () => {
  counts(2 + 1, raw.movEdi(0x9000), raw.movEcx(0), raw.repStosb);
});

row('REPE/REPNE ending early', () => {
  // Memory at 9000 is zero; AL = 0: REPNE SCASB finds it at once, REPE SCASB runs on.
  const scan = (prefix: number) => [prefix, 0xae];
  counts(3 + 1, raw.movEax(0), raw.movEdi(0x9000), raw.movEcx(9), scan(0xf2));
  counts(3 + 9, raw.movEax(0), raw.movEdi(0x9000), raw.movEcx(9), scan(0xf3));
  counts(3 + 1, raw.movEax(1), raw.movEdi(0x9000), raw.movEcx(9), scan(0xf3));
});

row('REP iteration that faults', () => {
  traps(13, 2 + 16, raw.movEdi(SEGMENT_BYTES - 16), raw.movEcx(100), raw.repStosb);
  traps(13, 2 + 0, raw.movEdi(SEGMENT_BYTES), raw.movEcx(100), raw.repStosb);
});

row('instruction that faults (#PF, #GP, #UD, #DE, ...)', () => {
  traps(6, 0, ud2);
  traps(6, 2, raw.nop, raw.nop, ud2);
  traps(0, 1, [0x31, 0xc9], [0xf7, 0xf1]); // xor ecx, ecx; div ecx
  traps(13, 0, raw.loadEax(SEGMENT_BYTES));
});

row('delivery of a fault, double fault', () => {
  const machine = new TestMachine(tabled([...raw.nop, ...raw.loadEax(SEGMENT_BYTES)], [13]));
  assert.equal(toHalt(machine), { count: 1, vector: 8 });
});

row('triple fault', () => {
  const machine = new TestMachine(tabled([...raw.nop, ...raw.loadEax(SEGMENT_BYTES)], [8, 11, 13]));
  assert.is(machine.run(ALWAYS), 'shutdown');
  assert.is(machine.icount, 1n);
  assert.is(machine.run(ALWAYS), 'shutdown');
  assert.is(machine.icount, 1n);
  machine.close();
});

row('software INT n, INT3, INTO taken, INT1', () => {
  traps(0x20, 1, [0xcd, 0x20]);
  traps(3, 1, [0xcc]);
  traps(1, 1, [0xf1]);
  traps(4, 3, raw.movEax(0x7fffffff), [0x83, 0xc0, 1], [0xce]); // add eax, 1; into
});

row('IRET, SYSCALL, SYSRET, SYSENTER, SYSEXIT, far transfers', () => {
  counts(4, [0x9c, 0x0e], push(CODE + 8), [0xcf]); // pushfd; push cs; push; iretd to what follows
  counts(1, [0xea, ...new Uint8Array(Uint32Array.of(CODE + 7).buffer), 8, 0]); // jmp far
  // call far over a HLT to a RETF
  counts(2, [0x9a, ...new Uint8Array(Uint32Array.of(CODE + 8).buffer), 8, 0], [0xf4], [0xcb]);
  const fast = guest(wrmsr(0x174, 8), wrmsr(0x176, 0x5000), [0x0f, 0x34]);
  fast.run(9n);
  assert.is(rip(fast), 0x5000);
  fast.close();
  const leave = guest(wrmsr(0x174, 8), [0xba, 0, 0x50, 0, 0], [0x0f, 0x35]); // mov edx, 5000; sysexit
  leave.run(6n);
  assert.is(rip(leave), 0x5000);
  leave.close();
  const call = longGuest(wrmsr(0xc0000082, 0x5000), [0x0f, 0x05]);
  call.run(5n);
  assert.is(rip(call), 0x5000);
  assert.is(register(call, ECX), BigInt(CODE + 16));
  call.close();
  const back = longGuest(raw.movEcx(0x5000), [0x48, 0x0f, 0x07]);
  back.run(2n);
  assert.is(rip(back), 0x5000);
  back.close();
});

row('injected interrupt, NMI', () => {
  const machine = guest([0xfb], raw.nop, raw.nop, raw.nop); // sti
  machine.run(3n);
  machine.engine.interrupt(0x40);
  assert.is(machine.icount, 3n);
  assert.is(rip(machine), HANDLERS + 0x40);
  machine.engine.nmi();
  assert.is(machine.icount, 3n);
  assert.equal(toHalt(machine), { count: 3, vector: 2 });
});

row('single-step or data breakpoint trap', () => {
  const setTrap = [0x9c, 0x80, 0x4c, 0x24, 1, 1, 0x9d]; // pushfd; or byte [esp + 1], 1; popfd
  traps(1, 3 + 1, setTrap, raw.nop, raw.nop);
  const watch = [...raw.movEax(0x9000), 0x0f, 0x23, 0xc0, ...raw.movEax(0xd0402), 0x0f, 0x23, 0xf8];
  traps(1, 4 + 1 + 1, watch, raw.nop, raw.storeEax(0x9000), raw.nop); // mov dr0; mov dr7
});

row('instruction breakpoint (fault)', () => {
  const at = CODE + 17;
  const arm = [...raw.movEax(at), 0x0f, 0x23, 0xc0, ...raw.movEax(0x402), 0x0f, 0x23, 0xf8];
  assert.is(arm.length + 1, 17);
  traps(1, 4 + 1, arm, raw.nop, raw.nop);
});

row('HLT', () => {
  const machine = guest(raw.nop);
  assert.is(machine.engine.run(ALWAYS), Exit.halt);
  assert.is(machine.icount, 2n);
  assert.is(machine.engine.run(ALWAYS + ALWAYS), Exit.halt);
  assert.is(machine.icount, 2n);
  machine.close();
});

row('STI, MOV SS, POP SS and the instruction in their shadow', () => {
  const windowAt = (...code: (readonly number[])[]) => {
    const machine = guest(...code, raw.nop, raw.nop, raw.nop);
    machine.engine.setInterruptLine(true);
    assert.is(machine.engine.run(ALWAYS), Exit.interruptWindow);
    const position = Number(machine.icount);
    machine.close();
    return position;
  };
  assert.is(windowAt([0xfb]), 2);
  const flagsOn = [0x9c, 0x80, 0x4c, 0x24, 1, 2, 0x9d]; // pushfd; or byte [esp + 1], 2; popfd
  assert.is(windowAt(flagsOn), 3);
  // With IF set the window would come first; so the shadow begins at the boundary after MOV SS.
  const machine = guest([0x8c, 0xd0, 0xfb], raw.nop, [0x8e, 0xd0], raw.nop, raw.nop); // mov eax, ss
  machine.run(4n);
  machine.engine.setInterruptLine(true);
  assert.is(machine.engine.canInterrupt(), false);
  assert.is(machine.engine.run(ALWAYS), Exit.interruptWindow);
  assert.is(machine.icount, 5n);
  machine.close();
  const popSs = guest([0x16, 0xfb], raw.nop, [0x17], raw.nop, raw.nop); // push ss; sti; nop; pop ss
  popSs.run(4n);
  popSs.engine.setInterruptLine(true);
  assert.is(popSs.engine.run(ALWAYS), Exit.interruptWindow);
  assert.is(popSs.icount, 5n);
  popSs.close();
});

row('OUT, OUTS iteration', () => {
  const machine = guest(raw.nop, [0xe6, 0x80], raw.movEcx(3), [0xf3, 0x6e]);
  assert.is(machine.engine.run(ALWAYS), Exit.portOut);
  assert.is(machine.icount, 2n);
  for (const position of [4n, 5n, 6n]) {
    assert.is(machine.engine.run(ALWAYS), Exit.portOut);
    assert.is(machine.icount, position);
  }
  assert.is(machine.engine.run(ALWAYS), Exit.halt);
  machine.close();
});

row('IN, INS iteration', () => {
  const machine = guest(raw.nop, [0xe4, 0x80], raw.movEdi(0x9000), raw.movEcx(2), [0xf3, 0x6c]);
  for (const position of [1n, 4n, 5n]) {
    assert.is(machine.engine.run(ALWAYS), Exit.portIn);
    assert.is(machine.icount, position);
    machine.engine.completeRead(0x77, 0);
    assert.is(machine.icount, position);
  }
  assert.is(machine.engine.run(ALWAYS), Exit.halt);
  assert.is(machine.icount, 7n);
  assert.is(register(machine, EAX) & 0xffn, 0x77n);
  assert.equal([...machine.bytes.slice(0x9000, 0x9003)], [0x77, 0x77, 0]);
  machine.close();
});

const flat = (...code: (readonly number[])[]) =>
  new TestMachine(raw.rawGuest(code.flat(), raw.halt));

row('MMIO write', () => {
  const machine = flat(raw.nop, raw.storeEax(0xe0000000), [0xdd, 0x35, 0, 0, 0, 0xe0]); // fnsave
  assert.is(machine.engine.run(ALWAYS), Exit.mmioWrite);
  assert.is(machine.icount, 2n);
  let bytes = 0;
  let address = 0xe0000000;
  while (bytes < 108) {
    assert.is(machine.engine.run(ALWAYS), Exit.mmioWrite);
    assert.is(machine.icount, 3n);
    assert.is(machine.engine.exit[1], address);
    bytes += machine.engine.exit[0] ?? 0;
    address = 0xe0000000 + bytes;
  }
  assert.is(machine.engine.run(ALWAYS), Exit.halt);
  machine.close();
});

row('MMIO read', () => {
  const machine = flat(raw.nop, raw.loadEax(0xe0000000), [0xff, 0x05, 0, 0, 0, 0xe0]); // inc [mmio]
  assert.is(machine.engine.run(ALWAYS), Exit.mmioRead);
  assert.is(machine.icount, 1n);
  machine.engine.completeRead(0xabcdef, 0);
  assert.is(machine.icount, 1n);
  assert.is(machine.engine.run(ALWAYS), Exit.mmioRead);
  assert.is(machine.icount, 2n);
  assert.is(register(machine, EAX), 0xabcdefn);
  machine.engine.completeRead(41, 0);
  assert.is(machine.engine.run(ALWAYS), Exit.mmioWrite);
  assert.is(machine.icount, 3n);
  assert.is(machine.engine.exit[2], 42);
  machine.close();
});

row('RDTSC, RDTSCP', () => {
  const machine = guest(raw.nop, raw.nop, [0x0f, 0x31]);
  machine.run(3n);
  assert.is(register(machine, EAX), 2n);
  machine.close();
  const other = guest(raw.nop, [0x0f, 0x01, 0xf9]);
  other.run(2n);
  assert.is(register(other, EAX), 1n);
  other.close();
});

row('LOCK, PAUSE, NOP, fences, CPUID', () => {
  counts(1, [0xf0, ...raw.increment(0x9000)]);
  counts(1, [0xf3, 0x90]);
  counts(1, [0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0]);
  counts(3, [0x0f, 0xae, 0xe8], [0x0f, 0xae, 0xf0], [0x0f, 0xae, 0xf8]);
  counts(1, [0x0f, 0xa2]);
});

row('store into its own block', () => {
  // Makes the next instruction, MOV EAX, 5, into MOV EAX, 6.
  const machine = guest([0xc6, 0x05, 8, 0x10, 0, 0, 6], raw.movEax(5));
  machine.run(1n);
  assert.is(rip(machine), CODE + 7);
  machine.run(2n);
  assert.is(register(machine, EAX), 6n);
  machine.close();
});

interface Row {
  what: string;
  proof: string;
}

function rowsOfTheTable(): Row[] {
  const lines = readFileSync(repoPath('native/softcpu/ICOUNT.md'), 'utf8').split('\n');
  const first = lines.findIndex((line) => line.startsWith('| ---'));
  const rows = lines.slice(first + 1).filter((line) => line.startsWith('| '));
  return rows.map((line) => {
    const cells = line.split('|').map((cell) => cell.trim());
    return { what: cells[1] ?? '', proof: cells[4] ?? '' };
  });
}

test('every row has its test here, and every test its row', () => {
  assert.equal(
    rowsOfTheTable()
      .map(({ what }) => what)
      .sort(),
    [...seen].sort(),
  );
});

test('the tests that the table names exist', () => {
  for (const { what, proof } of rowsOfTheTable()) {
    const [file = '', name = ''] = proof.split(', ');
    const path = repoPath(`native/softcpu/${file}`);
    assert.ok(existsSync(path), `${what}: ${file}`);
    assert.ok(readFileSync(path, 'utf8').includes(`void ${name}()`), `${what}: ${proof}`);
  }
});

test.run();

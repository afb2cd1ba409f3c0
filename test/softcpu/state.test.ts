// Saved states: complete, versioned, and input like any other. What no CPU could be in is refused in
// words; whatever is accepted can be run and saved again.
import { assert, seededRandom, suite } from '../harness/index.ts';
import { loadGuest, needsGcc } from './guest.ts';
import { Exit, TestMachine } from './machine.ts';
import { on } from './under-test.ts';
import { somewhere } from './walk.ts';

const test = suite('softcpu/state');
test.needs(needsGcc());

/** Where things are: a header of 16 bytes, then `State` of native/softcpu/cpu.h. */
const AT = {
  magic: 0,
  version: 4,
  bytes: 8,
  zeroRegister: 144,
  rip: 152,
  rflags: 160,
  es: 168,
  cs: 192,
  ss: 216,
  fs: 264,
  tr: 336,
  gdtBase: 360,
  gdtLimit: 376,
  cr0: 384,
  cr3: 400,
  cr4: 408,
  cr8: 416,
  dr7: 464,
  efer: 472,
  lstar: 488,
  sfmask: 504,
  xcr0: 800,
  fprPad: 1064 + 10,
  mxcsr: 1220,
  icount: 1224,
  tscIcount: 1240,
  rng: 1256,
  halted: 1288,
  shadow: 1289,
  inShutdown: 1291,
  debugPending: 1293,
} as const;
const SEGMENT = { base: 0, limit: 8, attributes: 12, selector: 16, pad: 18 } as const;

let source: TestMachine | undefined;

/** A machine in long mode, in the middle of the guest's work: run there once, then put there. */
function running(): TestMachine {
  if (source === undefined) {
    source = new TestMachine(loadGuest('busy'));
    source.run(on.isHardware ? 20_000n : 200_000n);
  }
  return TestMachine.from(source.view);
}

function changed(state: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const copy = state.slice();
  change(new DataView(copy.buffer));
  return copy;
}

test('the layout this test believes in', () => {
  const machine = new TestMachine();
  machine.engine.setup({
    rip: 0x1234,
    rflags: 0x202,
    registers: { rax: 1 },
    cs: { selector: 8, base: 0, limit: 0xffffffff, attributes: 0xc09b },
    data: { selector: 16, base: 0x100, limit: 0xffffffff, attributes: 0xc093 },
    cr0: 0x11,
    cr3: 0x5000,
    cr4: 0x20,
    efer: 0x100,
    gdtBase: 0x7000,
    gdtLimit: 0x7f,
  });
  const state = machine.engine.getState();
  const view = new DataView(state.buffer);
  const quads = { rip: 0x1234, rflags: 0x202, cr0: 0x11, cr3: 0x5000, cr4: 0x20, efer: 0x100 };
  for (const [name, value] of Object.entries(quads)) {
    assert.is(view.getBigUint64(AT[name as keyof typeof AT], true), BigInt(value), name);
  }
  assert.is(view.getUint32(AT.cs + SEGMENT.attributes, true), 0xc09b);
  assert.is(view.getUint16(AT.cs + SEGMENT.selector, true), 8);
  assert.is(view.getUint32(AT.fs + SEGMENT.base, true), 0x100);
  assert.is(view.getUint32(AT.gdtBase, true), 0x7000);
  assert.is(view.getUint32(AT.gdtLimit, true), 0x7f);
  assert.is(view.getUint32(AT.mxcsr, true), 0x1f80);
  assert.is(view.getUint32(AT.xcr0, true), 1);
  assert.is(state.length, 16 + Number(view.getBigUint64(AT.bytes, true)));
  machine.engine.setState(state);
  assert.equal(machine.engine.getState(), state);
  machine.close();
});

test('bytes that are no state: another kind, another version, cut, too long', () => {
  const machine = running();
  const state = machine.engine.getState();
  const refused = (bytes: Uint8Array, words: RegExp) =>
    assert.throws(() => machine.engine.setState(bytes), words);
  refused(new Uint8Array(0), /not the state of a software engine/);
  refused(state.subarray(0, 15), /not the state/);
  refused(state.subarray(0, state.length - 1), /cut short or too long/);
  refused(Uint8Array.of(...state, 0), /cut short or too long/);
  refused(
    changed(state, (view) => view.setUint32(AT.magic, 1, true)),
    /not the state/,
  );
  refused(
    changed(state, (view) => view.setUint32(AT.version, 77, true)),
    /version 77, this firmware reads version \d+$/,
  );
  refused(
    changed(state, (view) => view.setBigUint64(AT.bytes, 5n, true)),
    /cut short or too long/,
  );
  assert.equal(machine.engine.getState(), state);
  machine.close();
});

const big = (at: number, value: bigint) => (view: DataView) => view.setBigUint64(at, value, true);
const word = (at: number, value: number) => (view: DataView) => view.setUint32(at, value, true);
const byte = (at: number, value: number) => (view: DataView) => view.setUint8(at, value);

const IMPOSSIBLE: readonly [name: string, change: (view: DataView) => void, words: RegExp][] = [
  ['a general register that is always zero', big(AT.zeroRegister, 1n), /slot 16 is not zero/],
  ['CR0 with unknown bits', big(AT.cr0, 0x180010033n), /CR0 has unknown bits/],
  ['paging without protection', big(AT.cr0, 0x80010032n), /paging without protection/],
  ['NW without CD', big(AT.cr0, 0xa0010033n), /NW without CD/],
  ['CR4 with unknown bits', big(AT.cr4, 0x80000620n), /CR4 has unknown bits/],
  ['long mode without PAE', big(AT.cr4, 0x600n), /long mode without PAE/],
  ['EFER with unknown bits', big(AT.efer, 0x10d01n), /EFER has unknown bits/],
  ['LMA without LME', big(AT.efer, 0xc01n), /LMA contradicts/],
  ['LME and paging without LMA', big(AT.efer, 0x901n), /LMA contradicts/],
  ['CR3 beyond the physical addresses', big(AT.cr3, 1n << 45n), /CR3 is beyond/],
  ['CR8 above 15', big(AT.cr8, 16n), /CR8/],
  ['DR7 above 32 bits', big(AT.dr7, 1n << 32n), /DR7/],
  ['reserved flags', big(AT.rflags, 0x8002n), /RFLAGS has reserved bits/],
  ['virtual-8086 mode in long mode', big(AT.rflags, 0x20002n), /RFLAGS.VM/],
  ['RIP not canonical', big(AT.rip, 1n << 47n), /RIP is no address/],
  ['a 64-bit segment with D', word(AT.cs + SEGMENT.attributes, 0xe09b), /CS is a 64-bit/],
  ['unknown attributes', word(AT.es + SEGMENT.attributes, 0x100093), /unknown attributes/],
  ['a base too large', big(AT.ss + SEGMENT.base, 1n << 40n), /more than 32 bits/],
  ['FS base not canonical', big(AT.fs + SEGMENT.base, 1n << 50n), /FS or GS/],
  ['TR base not canonical', big(AT.tr + SEGMENT.base, 1n << 50n), /LDTR or TR/],
  ['GDT not canonical', big(AT.gdtBase, 1n << 50n), /GDTR/],
  ['a GDT limit above 64 KiB', word(AT.gdtLimit, 0x10000), /limit/],
  ['LSTAR not canonical', big(AT.lstar, 1n << 50n), /not canonical/],
  ['a flag mask above 32 bits', big(AT.sfmask, 1n << 32n), /reserved bits/],
  ['XCR0 without x87', big(AT.xcr0, 2n), /XCR0/],
  ['MXCSR with reserved bits', word(AT.mxcsr, 0x11f80), /MXCSR/],
  ['a position out of range', big(AT.icount, 1n << 63n), /icount/],
  ['a TSC set in the future', big(AT.tscIcount, 1n << 40n), /future/],
  ['no randomness', (view) => new Uint8Array(view.buffer, AT.rng, 32).fill(0), /all zero/],
  ['neither halted nor not', byte(AT.halted, 2), /neither/],
  ['neither shut down nor not', byte(AT.inShutdown, 255), /neither/],
  ['a shadow of an unknown kind', byte(AT.shadow, 4), /shadow has unknown bits/],
  ['a pending #DB of an unknown kind', byte(AT.debugPending, 0x10), /pending #DB/],
  ['padding of a segment', byte(AT.es + SEGMENT.pad, 1), /padding/],
  ['padding of a register', byte(AT.fprPad, 1), /padding/],
];

for (const [name, change, words] of IMPOSSIBLE) {
  test(`refused: ${name}`, () => {
    const machine = running();
    const state = machine.engine.getState();
    assert.throws(() => machine.engine.setState(changed(state, change)), words);
    assert.equal(machine.engine.getState(), state, 'a refused state leaves the engine as it was');
    machine.run(machine.icount + 1000n);
    machine.close();
  });
}

test(
  'random bytes in a state: refused, or run and saved like any other',
  () => {
    const random = seededRandom('state');
    const machine = running();
    const valid = machine.engine.getState();
    let accepted = 0;
    for (let n = 0; n < on.times(1500); n++) {
      const bytes = valid.slice();
      for (let k = 0; k <= random.int(6); k++) {
        bytes[16 + random.int(bytes.length - 16)] = random.pick([0, 1, 0xff, random.int(256)]);
      }
      try {
        machine.engine.setState(bytes);
      } catch {
        continue;
      }
      accepted++;
      const start = machine.icount;
      machine.run(start + 300n);
      assert.ok(machine.icount >= start && machine.icount <= start + 300n);
      const saved = machine.engine.getState();
      machine.engine.setState(saved);
      assert.equal(machine.engine.getState(), saved);
    }
    assert.ok(accepted > on.times(100), `${accepted} accepted`);
    machine.close();
  },
  { timeoutMs: 60_000 },
);

test('a state taken anywhere, put back where it was taken, changes nothing', () => {
  const random = seededRandom('state, back');
  const machine = new TestMachine(loadGuest('busy'));
  for (let n = 0; n < on.times(300); n++) {
    machine.run(machine.icount + somewhere(random, 1500n));
    const state = machine.engine.getState();
    machine.engine.setState(state);
    assert.equal(machine.engine.getState(), state);
  }
  if (on.isHardware) return machine.close();
  assert.is(machine.runToEnd(), 'done');
  assert.is(machine.devices.exitCode, 0, machine.devices.text);
  machine.close();
});

test('a state taken while a read is out is the one before its instruction', () => {
  const machine = new TestMachine(loadGuest('ports'));
  while (machine.engine.run(1n << 60n) !== Exit.portIn); // port writes on the way go nowhere
  const [at, state] = [machine.icount, machine.engine.getState()];
  machine.engine.completeRead(1, 0);
  machine.engine.setState(state);
  assert.is(machine.engine.run(1n << 60n), Exit.portIn, 'asked again');
  assert.is(machine.icount, at);
  machine.close();
});

test.after(() => source?.close());

test.run();

// The engine's JavaScript face: every method against wrong arguments, after close, on foreign objects,
// with memory that goes first; and what a run costs nothing but a call.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type CpuSetup, GuestMemory, kick, SoftEngine } from '../../native/index.ts';
import { assert, repoPath, suite } from '../harness/index.ts';

const test = suite('native/engine-napi');
const BYTES = 1 << 20;

type Method = Exclude<keyof SoftEngine, 'exit' | 'translatesNot' | 'kickToken' | 'close'>;

const SETUP: CpuSetup = {
  rip: 0x1000,
  rflags: 2,
  registers: {},
  cs: { selector: 8, base: 0, limit: 0xffffffff, attributes: 0xc09b },
  data: { selector: 16, base: 0, limit: 0xffffffff, attributes: 0xc093 },
  cr0: 0x11,
  cr3: 0,
  cr4: 0,
  efer: 0,
  gdtBase: 0,
  gdtLimit: 0,
};

function fresh(): { memory: GuestMemory; engine: SoftEngine } {
  const memory = new GuestMemory({ bytes: BYTES });
  return { memory, engine: new SoftEngine(memory) };
}

/** Every method with arguments it takes. */
const GOOD: Record<Method, unknown[]> = {
  run: [1n],
  completeRead: [0, 0],
  setInterruptLine: [false],
  canInterrupt: [],
  interrupt: [0x20],
  nmi: [],
  icount: [],
  tsc: [],
  isHalted: [],
  setTsc: [0n, 1n << 32n],
  seedEntropy: [new Uint8Array(32)],
  reset: [],
  setup: [SETUP],
  getState: [],
  setState: [fresh().engine.getState()],
  memoryWritten: [0, 16],
  takeDirtyPages: [new Uint8Array(BYTES / 4096 / 8)],
};
const METHODS = Object.keys(GOOD) as Method[];

function call(engine: unknown, method: Method, args: unknown[]): unknown {
  const fn = SoftEngine.prototype[method] as (...args: unknown[]) => unknown;
  return fn.apply(engine, args);
}

/** Detaches the memory of a view, as posting it to another thread does. */
function takeAway(view: Uint8Array | Float64Array): void {
  const buffer = view.buffer as ArrayBuffer;
  structuredClone(buffer, { transfer: [buffer] });
}

test('the matrix names every method there is', () => {
  const all = Object.getOwnPropertyNames(SoftEngine.prototype).filter(
    (name) => !['constructor', 'exit', 'translatesNot', 'kickToken', 'close'].includes(name),
  );
  assert.equal(all.sort(), [...METHODS].sort());
});

test('takes a GuestMemory that is open, and nothing else', () => {
  const make = SoftEngine as unknown as new (...args: unknown[]) => SoftEngine;
  const { memory } = fresh();
  for (const args of [[], [undefined], [null], [{}], [memory.buffer], [BYTES], [memory, memory]]) {
    assert.throws(() => new make(...args), /GuestMemory/);
  }
  memory.close();
  assert.throws(() => new SoftEngine(memory), /closed/);
  assert.throws(() => (SoftEngine as unknown as (m: GuestMemory) => void)(memory));
});

for (const method of METHODS) {
  test(`${method}: with good arguments`, () => {
    const { engine } = fresh();
    if (method === 'interrupt') engine.setup({ ...SETUP, rflags: 0x202 });
    call(engine, method, GOOD[method]);
    engine.close();
  });

  test(`${method}: not after close`, () => {
    const { engine } = fresh();
    engine.close();
    assert.throws(
      () => call(engine, method, GOOD[method]),
      (error: unknown) => error instanceof TypeError && /this engine is closed/.test(error.message),
    );
  });

  test(`${method}: not on another object`, () => {
    const { memory } = fresh();
    for (const other of [{}, memory, SoftEngine.prototype, null, 5]) {
      assert.throws(() => call(other, method, GOOD[method]));
    }
  });

  test(`${method}: arguments of a wrong kind, too few, out of range`, () => {
    if (GOOD[method].length === 0) return;
    const { engine } = fresh();
    const junk = ['x', Symbol('x'), () => 0, Number.NaN, -1, 1.5, 2 ** 53, -1n, 1n << 64n, [], {}];
    for (let at = 0; at < GOOD[method].length; at++) {
      const wrong = [undefined, null, ...junk].map((value) => GOOD[method].with(at, value));
      for (const args of [...wrong, GOOD[method].slice(0, at)]) {
        assert.throws(
          () => call(engine, method, args),
          (error: unknown) => error instanceof TypeError || error instanceof RangeError,
          `argument ${at}: ${String(args[at])}`,
        );
      }
    }
    engine.run(1n);
    engine.close();
  });
}

test('buffers of a wrong size or kind', () => {
  const { engine } = fresh();
  for (const length of [0, 31, 33]) {
    assert.throws(() => engine.seedEntropy(new Uint8Array(length)), /exactly 32/);
  }
  assert.throws(
    () => engine.takeDirtyPages(new Uint8Array(BYTES / 4096 / 8 - 1)),
    /one bit a page/,
  );
  const words = new Uint16Array(1000) as unknown as Uint8Array;
  assert.throws(() => engine.takeDirtyPages(words), /Uint8Array/);
  assert.throws(() => engine.setState(words), /Uint8Array/);
  const gone = new Uint8Array(4096);
  takeAway(gone);
  assert.throws(() => engine.takeDirtyPages(gone), /one bit a page/);
  assert.throws(() => engine.setState(gone), /not the state/);
  engine.close();
});

test('setup: every field is needed and checked, and a bad one changes nothing', () => {
  const { engine } = fresh();
  engine.setup(SETUP);
  const before = engine.getState();
  for (const key of Object.keys(SETUP)) {
    const without = { ...SETUP, [key]: undefined } as unknown as CpuSetup;
    assert.throws(() => engine.setup(without), new RegExp(`setup: ${key} must be`));
    const wrong = { ...SETUP, [key]: -1 } as unknown as CpuSetup;
    assert.throws(() => engine.setup(wrong), new RegExp(`setup: ${key} must be`));
  }
  for (const key of ['selector', 'base', 'limit', 'attributes'] as const) {
    const cs = { ...SETUP.cs, [key]: 2 ** 53 };
    assert.throws(() => engine.setup({ ...SETUP, cs }), new RegExp(`setup: ${key} must be`));
  }
  assert.throws(() => engine.setup({ ...SETUP, registers: { rax: 1.5 } }), /rax must be/);
  const taskState = 5 as unknown as NonNullable<CpuSetup['taskState']>;
  assert.throws(() => engine.setup({ ...SETUP, taskState }), /taskState/);
  assert.equal(engine.getState(), before);
  assert.throws(() => engine.setup({ ...SETUP, cr0: 0x80000000 }), /paging without protection/);
  engine.close();
});

test('a getter that closes the engine while setup reads its argument', () => {
  const { engine } = fresh();
  const trap = Object.defineProperty({ ...SETUP }, 'cr3', {
    get: () => {
      engine.close();
      return 0;
    },
  });
  assert.throws(() => engine.setup(trap), /this engine is closed/);
});

test('limits at or before the position return at once', () => {
  const { memory, engine } = fresh();
  new Uint8Array(memory.buffer).fill(0x90, 0x1000, 0x2000);
  engine.setup(SETUP);
  assert.is(engine.run(100n), 0);
  for (const limit of [100n, 99n, 0n]) {
    assert.is(engine.run(limit), 0);
    assert.is(engine.icount(), 100n);
  }
  assert.is(engine.run(101n), 0);
  assert.is(engine.icount(), 101n);
  engine.close();
});

test('exit: one array, filled by each run; whoever takes it away is told', () => {
  const { memory, engine } = fresh();
  // mov dx, 0x3f8; mov eax, 0x12345678; out dx, eax; in al, 0x60; hlt
  new Uint8Array(memory.buffer).set(
    [0x66, 0xba, 0xf8, 3, 0xb8, 0x78, 0x56, 0x34, 0x12, 0xef, 0xe4, 0x60, 0xf4],
    0x1000,
  );
  engine.setup(SETUP);
  const { exit } = engine;
  assert.is(engine.run(100n), 3);
  assert.equal([...exit], [4, 0x3f8, 0x12345678, 0]);
  assert.is(engine.icount(), 3n);
  assert.is(engine.run(100n), 2);
  assert.is(engine.exit, exit);
  assert.equal([...exit], [1, 0x60, 0, 0]);
  engine.completeRead(0xab, 0);
  assert.is(engine.run(100n), 6);
  assert.is(engine.isHalted(), true);
  assert.is(engine.icount(), 5n);
  takeAway(exit);
  assert.throws(() => engine.run(100n), /taken away/);
  engine.close();
});

test('the time stamp counter is what it was set to, and goes on from there', () => {
  const { memory, engine } = fresh();
  new Uint8Array(memory.buffer).fill(0x90, 0x1000, 0x2000);
  engine.setup(SETUP);
  engine.run(10n);
  engine.setTsc(1_000_000n, 5n << 31n); // 2.5 ticks an instruction
  assert.is(engine.tsc(), 1_000_000n);
  engine.run(13n);
  assert.is(engine.tsc(), 1_000_007n);
  engine.setTsc((1n << 64n) - 1n, 1n << 32n);
  engine.run(14n);
  assert.is(engine.tsc(), 0n);
  engine.close();
});

test('all memory is new: decoded code is forgotten, every page is dirty, but once', () => {
  const memory = new GuestMemory({ bytes: 5 * 2 ** 30 });
  const engine = new SoftEngine(memory);
  const code = new Uint8Array(memory.banks[0]!);
  code.set([0x40, 0xeb, 0xfd], 0x1000); // inc eax, for ever
  engine.setup(SETUP);
  engine.run(1001n);
  code[0x1000] = 0x43; // inc ebx
  engine.memoryWritten(0, 3 * 2 ** 30);
  engine.memoryWritten(2 ** 32, 2 * 2 ** 30);
  const bitmap = new Uint8Array((5 * 2 ** 30) / 4096 / 8);
  engine.takeDirtyPages(bitmap);
  assert.ok(bitmap.every((byte) => byte === 0xff));
  engine.run(2001n);
  const state = new DataView(engine.getState().buffer);
  // In the order of the instruction set: EAX, ECX, EDX, EBX.
  const [eax, ebx] = [state.getUint32(16, true), state.getUint32(16 + 3 * 8, true)];
  assert.equal([eax, ebx], [501, 500]);
  bitmap.fill(0);
  engine.takeDirtyPages(bitmap);
  assert.ok(bitmap.every((byte) => byte === 0));
  engine.close();
  memory.close();
});

test('the memory may be closed first: the engine keeps its own hold of it', () => {
  const { memory, engine } = fresh();
  new Uint8Array(memory.buffer).set([0xff, 0x05, 0, 0x20, 0, 0, 0xeb, 0xf8], 0x1000);
  engine.setup(SETUP);
  engine.run(1000n);
  memory.close();
  engine.run(100_000n);
  assert.is(engine.icount(), 100_000n);
  engine.close();
});

test('several engines on one memory, several memories, in any order of closing', () => {
  const { memory, engine } = fresh();
  const other = new SoftEngine(memory);
  const bytes = new Uint8Array(memory.buffer);
  bytes.set([0xff, 0x05, 0, 0x20, 0, 0, 0xeb, 0xf8], 0x1000);
  engine.setup(SETUP);
  other.setup(SETUP);
  engine.run(200n);
  other.run(100n);
  assert.is(new DataView(memory.buffer).getUint32(0x2000, true), 150);
  engine.close();
  other.run(200n);
  memory.close();
  other.run(300n);
  other.close();
  other.close();
  engine.close();
});

test('kick: tokens are bigints, never reused, and die with their engine', () => {
  const { engine } = fresh();
  const { engine: next } = fresh();
  assert.ok(next.kickToken > engine.kickToken);
  assert.is(kick(engine.kickToken), true);
  const token = engine.kickToken;
  engine.close();
  assert.is(kick(token), false);
  for (const wrong of [undefined, null, 1, '1', {}, -1n, 1n << 64n]) {
    assert.throws(() => kick(wrong as bigint), /token must be a bigint/);
  }
  next.close();
});

test('a thread ended in the middle of a run leaves memory and process alone', async () => {
  const { memory, engine } = fresh();
  const bytes = new Uint8Array(memory.buffer);
  bytes.set([0xff, 0x05, 0, 0x20, 0, 0, 0xeb, 0xf8], 0x1000);
  const worker = new Worker(
    `const { workerData, parentPort } = require('node:worker_threads');
     const { GuestMemory, SoftEngine } = require(workerData.addon);
     const memory = new GuestMemory({ token: workerData.memory });
     const engine = new SoftEngine(memory);
     engine.setup(workerData.setup);
     parentPort.postMessage(engine.kickToken);
     for (let n = 1n; ; n++) engine.run(n * 1000000n);`,
    {
      eval: true,
      workerData: {
        addon: repoPath(`native/build/${process.env.TWINSTEP_ADDON ?? 'Release'}/twinstep.node`),
        memory: memory.token,
        setup: SETUP,
      },
    },
  );
  const [token] = (await once(worker, 'message')) as [bigint];
  assert.is(kick(token), true);
  await worker.terminate();
  assert.is(kick(token), false);
  engine.setup(SETUP);
  engine.run(10n);
  engine.close();
  memory.close();
});

test('thousands of engines come and go without being kept', () => {
  const memory = new GuestMemory({ bytes: BYTES });
  for (let n = 0; n < 300; n++) {
    const engine = new SoftEngine(memory);
    engine.run(10n);
    engine.close();
  }
  memory.close();
});

test.run();

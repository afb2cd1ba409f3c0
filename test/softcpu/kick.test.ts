// A kick from another thread: run() comes back soon, at an exact position, with nothing changed.
import { Worker } from 'node:worker_threads';
import { kick } from '../../native/index.ts';
import { assert, repoPath, seededRandom, suite } from '../harness/index.ts';
import { differences, Exit, TestMachine } from './machine.ts';
import * as raw from './raw.ts';
import { on, softEngine } from './under-test.ts';

const test = suite('softcpu/kick');

const COUNTER = 0x2000;
const NEVER = 1n << 60n;

const KICKS = 3;

// Once a round is announced: watches the guest's counter grow, then kicks, so that the engine is
// certainly running.
const KICKER = `
  const { workerData } = require('node:worker_threads');
  const { GuestMemory, kick } = require(workerData.addon);
  const memory = new GuestMemory({ token: workerData.memory });
  const counter = new Int32Array(memory.buffer, ${COUNTER}, 1);
  for (let round = 1; round <= ${KICKS}; round++) {
    while (Atomics.load(workerData.round, 0) < round);
    const start = Atomics.load(counter, 0);
    while (Atomics.load(counter, 0) < start + 3);
    kick(workerData.engine);
  }
  memory.close();
`;

const addon = repoPath(`native/build/${process.env.TWINSTEP_ADDON ?? 'Release'}/twinstep.node`);

function startKicker(machine: TestMachine, round: Int32Array): Promise<number> {
  const memory = machine.memory.token;
  const engine = machine.engine.kickToken;
  const worker = new Worker(KICKER, {
    eval: true,
    workerData: { addon, memory, engine, round },
  });
  return new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
}

const LOOPS = {
  'a loop of one block': raw.forever(raw.increment(COUNTER)),
  'a loop over two pages': [
    ...raw.increment(COUNTER),
    ...[0xe9, 0xf5, 0x1f, 0, 0], // jmp to CODE_AT + 0x2000, which jumps back
  ],
  'a long REP': raw.forever(
    raw.increment(COUNTER),
    raw.movEdi(0x10000),
    raw.movEcx(on.isHardware ? 0x1000 : 0x100000),
    raw.repStosb,
  ),
  'code that patches itself': raw.forever(
    raw.increment(COUNTER),
    raw.loadEax(COUNTER),
    raw.storeEax(raw.CODE_AT + 6 + 5 + 5 + 1), // the immediate of the next instruction
    raw.movEcx(0),
  ),
};

for (const [name, code] of Object.entries(LOOPS)) {
  test(
    name,
    async () => {
      const image = raw.rawGuest(code);
      // The second half of the loop over two pages: JMP CODE_AT.
      const back = { address: 0x2000 + raw.CODE_AT, bytes: Uint8Array.of(...raw.loopBack(0x2000)) };
      const machine = new TestMachine({ ...image, segments: [...image.segments, back] });
      const round = new Int32Array(new SharedArrayBuffer(4));
      const ended = startKicker(machine, round);
      for (let n = 0; n < KICKS; n++) {
        Atomics.add(round, 0, 1);
        assert.is(machine.run(NEVER), 'kick');
        const other = new TestMachine(
          { ...image, segments: [...image.segments, back] },
          undefined,
          softEngine,
        );
        assert.is(other.run(machine.icount), 'limit');
        assert.equal(differences(machine.view, other.view), []);
        other.close();
      }
      assert.is(await ended, 0);
      machine.close();
    },
    { timeoutMs: on.timeoutMs },
  );
}

test('a kick before run() is kept, and reported once', () => {
  const machine = new TestMachine(raw.rawGuest(raw.forever(raw.nop)));
  machine.run(10n);
  assert.is(kick(machine.engine.kickToken), true);
  assert.is(kick(machine.engine.kickToken), true);
  assert.is(machine.engine.run(100n), Exit.kick);
  assert.is(machine.icount, 10n);
  assert.is(machine.engine.run(100n), Exit.limit);
  assert.is(machine.icount, 100n);
  machine.close();
});

test('the limit comes first; the kick is still there', () => {
  const machine = new TestMachine(raw.rawGuest(raw.forever(raw.nop)));
  machine.run(10n);
  kick(machine.engine.kickToken);
  assert.is(machine.engine.run(10n), Exit.limit);
  assert.is(machine.engine.run(11n), Exit.kick);
  machine.close();
});

test('never between the answer of a read and its instruction', () => {
  const machine = new TestMachine(raw.rawGuest([0xe4, 0x80], raw.forever(raw.nop))); // in al, 0x80
  assert.is(machine.engine.run(100n), Exit.portIn);
  assert.is(machine.icount, 0n);
  machine.engine.completeRead(0x5a, 0);
  kick(machine.engine.kickToken);
  assert.is(machine.engine.run(100n), Exit.kick);
  assert.is(machine.icount, 1n);
  machine.close();
});

test('a halted guest can be kicked', () => {
  const machine = new TestMachine(raw.rawGuest(raw.halt));
  assert.is(machine.engine.run(100n), Exit.halt);
  kick(machine.engine.kickToken);
  assert.is(machine.engine.run(100n), Exit.kick);
  assert.is(machine.engine.run(100n), Exit.halt);
  assert.is(machine.engine.isHalted(), true);
  machine.close();
});

test('an engine that is closed, or never was, is not kicked', () => {
  const machine = new TestMachine(raw.rawGuest(raw.halt));
  const token = machine.engine.kickToken;
  machine.close();
  assert.is(kick(token), false);
  assert.is(kick(token + 1000n), false);
  assert.is(kick(0n), false);
});

test(
  'kicks at any time while machines come and go',
  async () => {
    const random = seededRandom('kick');
    const storm = new Worker(
      `const { workerData } = require('node:worker_threads');
       const { kick } = require(workerData.addon);
       for (let n = 0; ; n++) kick(workerData.first + BigInt(n % 40));`,
      {
        eval: true,
        workerData: {
          addon,
          first: new TestMachine().engine.kickToken,
        },
      },
    );
    const ended = new Promise((resolve) => storm.once('exit', resolve));
    for (let n = 0; n < on.times(30); n++) {
      const machine = new TestMachine(raw.rawGuest(raw.forever(raw.increment(COUNTER))), 1 << 20);
      const until = BigInt(1000 + random.int(on.times(100_000))) * 2n;
      while (machine.run(until) === 'kick');
      assert.is(machine.icount, until);
      assert.is(new DataView(machine.memory.buffer).getUint32(COUNTER, true), Number(until / 2n));
      machine.close();
    }
    await storm.terminate();
    await ended;
  },
  { timeoutMs: 60_000 },
);

test.run();

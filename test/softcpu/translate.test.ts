// The translator is no part of what a guest sees: whatever the engine promises holds with the interpreter and
// with nothing but translations, and a machine goes from one to the other anywhere.
import { GuestMemory, SoftEngine } from '../../native/index.ts';
import { assert, needs, runSeed, seededRandom, suite } from '../harness/index.ts';
import { CONTRACT_MS, runContract } from './contract.ts';
import { GUESTS, loadGuest } from './guest.ts';
import { differences, TestMachine } from './machine.ts';
import { nativeProgram, runProgram } from './native.ts';
import { interpreter, type MakeEngine, on, softEngine, translated } from './under-test.ts';
import { lifeOf, somewhere } from './walk.ts';

const test = suite('softcpu/translate');
test.needs(needs.command('g++'));

const sanitized = process.env.TWINSTEP_ADDON === 'Debug';
const { timeoutMs } = on;

test('this host translates, and says so where it is told not to', () => {
  const memory = new GuestMemory({ bytes: 1 << 20 });
  const engines = [new SoftEngine(memory), new SoftEngine(memory, { translate: false })];
  assert.equal(
    engines.map((engine) => engine.translatesNot),
    [undefined, 'asked for the interpreter'],
  );
  for (const engine of engines) engine.close();
  memory.close();
});

test(
  'random programs, interpreter and translator side by side at every cut',
  () =>
    void runProgram(
      nativeProgram('translate-test', /^translate-test\.cc$/),
      String(runSeed()),
      sanitized ? '1500' : '20000',
    ),
  { timeoutMs: 180_000 },
);

const CONTRACT = {
  'soft-interpreter': ['icount', 'state', 'kick', 'dirty'],
  'soft-translated': ['metal', 'icount', 'state', 'kick', 'dirty', 'injection', 'slicing'],
} as const;
for (const [engine, names] of Object.entries(CONTRACT)) {
  for (const name of names) {
    test(`softcpu/${name} with ${engine}`, () => runContract(name, engine), {
      timeoutMs: CONTRACT_MS,
    });
  }
}

for (const name of GUESTS) {
  const random = seededRandom(`translate ${name}`);
  test(
    `${name}: interpreted, translated and in turns, compared at random positions`,
    () => {
      const end = lifeOf(loadGuest(name));
      const interpreted = new TestMachine(loadGuest(name), undefined, interpreter);
      const host = new TestMachine(loadGuest(name), undefined, translated);
      let relay = new TestMachine(loadGuest(name), undefined, softEngine);
      const cuts = Array.from({ length: sanitized ? 3 : 12 }, () => somewhere(random, end));
      for (const at of [...cuts.sort((a, b) => Number(a - b)), end + 10n]) {
        const stop = interpreted.run(at);
        assert.is(host.run(at), stop);
        assert.is(relay.run(at), stop);
        assert.equal(differences(interpreted.view, host.view), [], `to ${at}`);
        assert.equal(differences(interpreted.view, relay.view), [], `in turns, to ${at}`);
        const next: MakeEngine = random.pick([interpreter, translated, softEngine]);
        const taker = TestMachine.from(relay.view, next);
        relay.close();
        relay = taker;
      }
      for (const machine of [interpreted, host, relay]) machine.close();
    },
    { timeoutMs },
  );
}

test.run();

// Bare-metal guests that check the CPU from the inside: each says what is wrong, and must say "0 failed".
import { assert, suite } from '../harness/index.ts';
import { GUESTS, loadGuest, needsGcc } from './guest.ts';
import { TestMachine } from './machine.ts';

const test = suite('softcpu/metal');
test.needs(needsGcc());

for (const name of GUESTS) {
  test(
    name,
    () => {
      const machine = new TestMachine(loadGuest(name));
      const stop = machine.runToEnd();
      const { text, exitCode } = machine.devices;
      machine.close();
      assert.is(stop, 'done', text);
      assert.is(exitCode, 0, text);
      assert.match(text, /\n[1-9]\d* cases, 0 failed\n$/);
    },
    { timeoutMs: 30_000 },
  );
}

test.run();

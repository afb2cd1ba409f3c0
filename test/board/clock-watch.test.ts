// Since when nobody has set the clock, and whether anybody should have.
import { ClockWatch } from '../../firmware/board/clock-watch.ts';
import type { ClockFacts } from '../../firmware/host/clock.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('board/clock-watch');

const service = { by: 'ntpd', servers: ['10.0.0.1'], answer: null };
const kernel = (isSynchronised: boolean) => ({
  ...{ isSynchronised, maxErrorMs: 1, estimatedErrorMs: 1, offsetMs: 0 },
});

test('set, lost, and since when; looked at now and then', async () => {
  let facts: ClockFacts = { kernel: kernel(false), service };
  let looks = 0;
  const watch = new ClockWatch(0, () => {
    looks++;
    return Promise.resolve(facts);
  });
  const at = async (nowMs: number) => {
    watch.look(nowMs);
    await Promise.resolve();
    await Promise.resolve();
    const { isSet, isExpected, unsetMs } = watch.status(nowMs);
    return { isSet, isExpected, unsetMs };
  };
  assert.equal(await at(0), { isSet: false, isExpected: true, unsetMs: 0 });
  assert.equal(await at(100_000), { isSet: false, isExpected: true, unsetMs: 100_000 });
  facts = { kernel: kernel(true), service };
  assert.equal(await at(100_500), { isSet: false, isExpected: true, unsetMs: 100_500 });
  assert.is(looks, 2, 'not at every call');
  assert.equal(await at(110_000), { isSet: true, isExpected: true, unsetMs: 0 });
  facts = { kernel: kernel(false), service: null };
  assert.equal(
    await at(140_000),
    { isSet: false, isExpected: true, unsetMs: 30_000 },
    'it was set',
  );
});

test('where nothing sets the clock, nothing is expected', async () => {
  const watch = new ClockWatch(0, () => Promise.resolve({ kernel: kernel(false), service: null }));
  watch.look(0);
  await Promise.resolve();
  assert.is(watch.status(10_000_000).isExpected, false);
});

test.run();

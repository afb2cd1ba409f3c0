// When a guest's CMOS clock is told the time of day: where it would be wrong, and not again.
import { WallClock } from '../../../firmware/host/vcpu/wall-clock.ts';
import { assert, suite } from '../../harness/index.ts';

const test = suite('host/vcpu/wall-clock');
const MS = 1_000_000n;
const DAY = 86_400_000n * MS;

test('it is told once, and again when the host is set or the guest falls behind', () => {
  let wallNs = 20_000n * DAY;
  const clock = new WallClock(() => wallNs);
  let [realNs, virtualNs] = [5n * MS, 3n * MS];
  const pass = (ms: bigint, guestMs = ms) => {
    realNs += ms * MS;
    wallNs += ms * MS;
    virtualNs += guestMs * MS;
    return clock.due(realNs, virtualNs);
  };
  assert.is(pass(0n), 20_000n * DAY, 'what it shows after another board led is not known');
  for (let n = 0; n < 100; n++) assert.is(pass(90n), undefined);
  wallNs += 15n * MS;
  assert.is(pass(300n), undefined, 'a clock of seconds');
  wallNs += 15n * MS;
  assert.is(pass(300n), wallNs, 'set by NTP, in two steps');
  assert.is(pass(300n), undefined);
  wallNs -= DAY;
  assert.is(pass(1n), undefined, 'looked at now and then');
  assert.is(pass(300n), wallNs);
  assert.is(pass(300n, 200n), wallNs, 'the guest lost a tenth of a second');
  assert.is(pass(300n, 310n), undefined);
});

test('a host that thinks it is before 1970 tells nothing', () => {
  assert.is(new WallClock(() => -1n).due(0n, 0n), undefined);
});

test.run();

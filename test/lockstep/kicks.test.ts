// A position does not tell before from behind the delivery of a fault, and a kick may fall on either side,
// or between a fault and the next one at the same position. Recordings of guests that fault all the time,
// kicked as fast as another thread can, with inputs and digests where the kicks fell: a replay finds
// every one of these positions again.
import { assert, runSeed, suite } from '../harness/index.ts';
import { needsGcc } from '../softcpu/guest.ts';
import { cutFaults, kickedFaults, kickedLinux } from './kicks.ts';
import { guestFiles } from './recording.ts';

const test = suite('lockstep/kicks');
test.needs(needsGcc());

test(
  'kicks around faults, faults in handlers and interrupted repeats',
  async () => {
    for (let seed = runSeed(); seed < runSeed() + 3; seed++) {
      const { kicks, digests } = await kickedFaults(seed, 1_000);
      assert.ok(kicks >= 50 && digests > 100, `${kicks} kicks, ${digests} digests`);
    }
  },
  { timeoutMs: 120_000 },
);

test('a run of faults, whole and in pieces', () => {
  for (let seed = runSeed(); seed < runSeed() + 5; seed++) cutFaults(seed, 1_000_000n);
});

const files = guestFiles();
if (files === undefined) test.skip('Linux', 'needs Debian’s archive for the Linux guest');
else
  test(
    'Linux, which takes page faults in every process it starts',
    async () => {
      const { kicks } = await kickedLinux(files, runSeed());
      assert.ok(kicks > 50, `${kicks} kicks`);
    },
    { timeoutMs: 240_000 },
  );

test.run();

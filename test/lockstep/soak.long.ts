// Records and replays Linux boots with mixed input, seed after seed, for TWINSTEP_SOAK_MINUTES (30).
// Meant for the sanitizer build: `npm run test:long -- soak --asan`.
import { assert, runSeed, suite } from '../harness/index.ts';
import { guestFiles, record, replay } from './recording.ts';

const test = suite('lockstep/soak');
const MINUTES = Number(process.env.TWINSTEP_SOAK_MINUTES ?? '30');
const files = guestFiles();
test.needs({ met: files !== undefined, why: 'needs Debian\u2019s archive for the Linux guest' });

test(
  `${MINUTES} minutes of mixed input replay to identical machines`,
  () => {
    if (files === undefined) throw new Error('no guest');
    const end = performance.now() + MINUTES * 60_000;
    let rounds = 0;
    let instructions = 0n;
    for (let seed = runSeed(); performance.now() < end; seed++) {
      const recording = record(files, seed);
      const { rig, progress } = replay(files, recording.entries);
      assert.is(progress, 'ended', `seed ${seed}`);
      assert.equal(rig.fingerprint(), recording.rig.fingerprint(), `seed ${seed}`);
      instructions += 2n * recording.rig.machine.position;
      rounds++;
      recording.rig.close();
      rig.close();
    }
    console.log(`${rounds} rounds, ${instructions} instructions`);
    assert.ok(rounds > 0);
  },
  { timeoutMs: (MINUTES + 15) * 60_000 },
);

test.run();

// kicks.test.ts, seed after seed, for TWINSTEP_KICKS_MINUTES (10): guests that fault all the time and whole
// boots of Linux, each kicked at other moments.
import { assert, runSeed, suite } from '../harness/index.ts';
import { needsGcc } from '../softcpu/guest.ts';
import { cutFaults, kickedFaults, kickedLinux } from './kicks.ts';
import { guestFiles } from './recording.ts';

const test = suite('lockstep/kicks.long');
const MINUTES = Number(process.env.TWINSTEP_KICKS_MINUTES ?? '10');
/** Of the faulting guest, to one boot of Linux. */
const FAULTS_PER_BOOT = 10;
test.needs(needsGcc());

test(
  `${MINUTES} minutes of kicks replay to identical machines`,
  async () => {
    const files = guestFiles();
    const end = performance.now() + MINUTES * 60_000;
    const done = { guests: 0, boots: 0, kicks: 0 };
    for (let seed = runSeed(); performance.now() < end; seed++) {
      done.kicks += (await kickedFaults(seed, 1_000)).kicks;
      cutFaults(seed, 1_000_000n);
      done.guests++;
      if (files === undefined || seed % FAULTS_PER_BOOT !== 0) continue;
      done.kicks += (await kickedLinux(files, seed)).kicks;
      done.boots++;
    }
    console.log(`${done.guests} guests, ${done.boots} boots of Linux, ${done.kicks} kicks`);
    assert.ok(done.guests > 0 && done.kicks > 0);
  },
  { timeoutMs: (MINUTES + 10) * 60_000 },
);

test.run();

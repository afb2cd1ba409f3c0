// As crash.test.ts, kill after kill, for TWINSTEP_SOAK_MINUTES (20): `npm run test:long -- crash`.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { linuxGuestOrNone } from '../guests/linux/assemble.ts';
import { assert, runSeed, seededRandom, suite } from '../harness/index.ts';
import { assertReplays, assertTornTails, killed, tear } from './crash.ts';

const test = suite('cli/crash-long');
const guest = linuxGuestOrNone();
test.needs({ met: guest !== undefined, why: 'needs Debian’s archive for the Linux guest' });
const MINUTES = Number(process.env.TWINSTEP_SOAK_MINUTES ?? '20');

const folder = mkdtempSync(join(tmpdir(), 'twinstep-crash-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

test(
  `${MINUTES} minutes of kills`,
  async () => {
    const end = performance.now() + MINUTES * 60_000;
    let kills = 0;
    for (let seed = runSeed(); performance.now() < end; seed++, kills++) {
      const random = seededRandom('crash', seed);
      const script = random.pick(['boot', 'disk', 'bench', 'idle']);
      const ms = random.int(random.chance(0.2) ? 700 : 9000);
      const what = `seed ${seed}, ${script} killed after ${ms} ms`;
      const left = await killed(guest!, folder, script, ms);
      const entries = assertReplays(left, what);
      if (entries.length === 0) continue;
      assertTornTails(left.log, 1024);
      assertReplays({ ...left, log: tear(left.log, random), said: '' }, `${what}, torn`);
    }
    console.log(`${kills} kills`);
    assert.ok(kills > 0);
  },
  { timeoutMs: (MINUTES + 15) * 60_000 },
);

test.run();

// Recorders killed with SIGKILL at random moments of a boot, of a disk being written, of a computation:
// what is on disk is read and replays to there, and nothing was heard that the log does not hold.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { linuxGuestOrNone } from '../guests/linux/assemble.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';
import { assertReplays, assertTornTails, killed, tear } from './crash.ts';

const test = suite('cli/crash');
const guest = linuxGuestOrNone();
test.needs({ met: guest !== undefined, why: 'needs Debian’s archive for the Linux guest' });

const folder = mkdtempSync(join(tmpdir(), 'twinstep-crash-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

test(
  'killed at random moments: read and replayed to there; torn tails too',
  async () => {
    const random = seededRandom('crash');
    for (const script of ['disk', 'bench', 'disk']) {
      const ms = 300 + random.int(5000);
      const what = `${script} killed after ${ms} ms`;
      const left = await killed(guest!, folder, script, ms);
      const entries = assertReplays(left, what);
      assertTornTails(left.log, 1024);
      if (entries.length > 100) {
        const torn = { ...left, log: tear(left.log, random), said: '' };
        assert.ok(assertReplays(torn, `${what}, torn`).length <= entries.length);
      }
    }
  },
  { timeoutMs: 300_000 },
);

test.run();

// Recorded Linux guests under random load, seed after seed, for TWINSTEP_SOAK_MINUTES (20): each is made
// again by a new process, and random prefixes go live and work on. `npm run test:long -- recorded`.
import { assert, needs, runSeed, seededRandom, suite } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { assembled } from './linux-guest.ts';
import { RecordedLinux } from './recording.ts';

const { guest, why = '' } = assembled();
await enterNamespace();
const test = suite('guest/recorded-long');
test.needs(needs.networkNamespaces());
test.needs(needs.device('/dev/net/tun'));
test.needs({ met: guest !== undefined, why });

const MINUTES = Number(process.env.TWINSTEP_SOAK_MINUTES ?? '20');
const PREFIXES = 2;

test(
  `${MINUTES} minutes of recorded guests, made again and gone live`,
  async () => {
    const end = performance.now() + MINUTES * 60_000;
    let rounds = 0;
    for (let seed = runSeed(); performance.now() < end; seed++, rounds++) {
      const random = seededRandom('recorded', seed);
      const recorded = new RecordedLinux(guest!, random);
      try {
        const names = await recorded.live(3 + random.int(4), 300_000);
        await recorded.ends();
        const { code, stderr } = recorded.replay('--verify', '--quiet');
        assert.is(code, 0, `seed ${seed}, ${names}: ${stderr}`);
        assert.match(stderr, 'identical');
        const entries = recorded.entriesOfLife();
        for (let n = 0; n < PREFIXES; n++) await recorded.goesLive(1 + random.int(entries));
        console.log(`seed ${seed}: ${names.join(' ')}; ${entries} entries`);
      } finally {
        await recorded.close();
      }
    }
    console.log(`${rounds} guests, ${rounds * PREFIXES} prefixes`);
    assert.ok(rounds > 0);
  },
  { timeoutMs: (MINUTES + 20) * 60_000 },
);

test.run();

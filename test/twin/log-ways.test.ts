// The log outlives its cables: two cards and the front LAN, pulled one after the other. The pair stays in step, no
// sync-up comes of it, the boards say which way the log goes and what to mend, and a takeover finds all of the log.
import { assert, needs, seededRandom, suite } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { Chaos, PATIENT } from './chaos.ts';
import { PLUGS } from './faults.ts';
import { other, SIDES } from './network.ts';
import { plantOrWhy } from './plant-guest.ts';
import { TwinRig } from './rig.ts';

const { guest, why = '' } = plantOrWhy();
await enterNamespace();
const test = suite('twin/log-ways');
test.needs(needs.networkNamespaces());
test.needs(needs.device('/dev/net/tun'));
test.needs({ met: guest !== undefined, why });

const random = seededRandom();
const HANDS = 1;
const ANSWERS = 50;
const WAIT_MS = 20_000;
const NAMES = ['log0', 'log1', 'the front LAN'];

test(
  'two cables pulled: in step all the time, over the front LAN in the end, and back',
  async () => {
    const codes: string[] = [];
    const rig = await TwinRig.make({
      ...{ guest: guest!, client: { lineMs: 10 }, more: PATIENT },
      ways: { secondCard: true, overFront: true },
      onEvent: (_side, { code }) => codes.push(code),
    });
    const ways = (side: 'a' | 'b') => rig.boards[side].status?.link.paths ?? [];
    const goesOver = async (way: number) => {
      const isSo = () => SIDES.every((side) => ways(side)[way]?.state === 'in-use');
      await rig.until(`the log goes over ${NAMES[way]}`, isSo, WAIT_MS);
      await rig.client.window();
      await rig.client.answers(ANSWERS, WAIT_MS);
    };
    try {
      await rig.begin();
      await rig.client.connect();
      const primary = await rig.redundant();
      await goesOver(0);
      assert.equal(
        ways('a').map(({ name }) => name),
        NAMES,
      );
      const before = codes.length;
      rig.network.pull('log', 'a');
      await goesOver(1);
      rig.network.pull('log2', 'a');
      await goesOver(2);
      const alarm = () =>
        rig.boards.a.status?.alarms.find(({ code }) => code === 'PATH-LOG')?.text ?? '';
      // It is raised with the first reason that is known.
      const reasons = 'log0 has no carrier, log1 has no carrier';
      await rig.until('an alarm', () => alarm().includes(reasons), WAIT_MS);
      assert.match(alarm(), 'goes over the front LAN');
      await rig.network.mend('log', 'a');
      await goesOver(0);
      await rig.network.mend('log2', 'a');
      assert.ok(rig.isRedundant && rig.primary === primary);
      const since = codes.slice(before);
      for (const code of ['SYNC-DONE', 'REDUNDANCY-LOST', 'LINK-DOWN', 'ROLE-SOLO'])
        assert.not.ok(since.includes(code), code);
      for (const code of ['LOG-PATH-TAKEN', 'LOG-PATH-LOST', 'LOG-PATH-BACK'])
        assert.ok(since.includes(code), code);
      // What came over all those ways is all of the log.
      rig.boards[primary].crash();
      await rig.until('the other leads', () => rig.primary === other(primary), WAIT_MS);
      await rig.client.answers(ANSWERS, WAIT_MS);
      assert.equal(rig.client.faults, []);
    } catch (error) {
      console.log(`what the boards told: ${rig.keep()}`);
      throw error;
    } finally {
      await rig.close();
    }
  },
  { timeoutMs: 180_000 },
);

test(
  'a hand pulls plug after plug of the primary: the other board goes on by itself',
  async () => {
    const chaos = await Chaos.start(guest!, { ways: { overFront: true } });
    try {
      for (let round = 0; round < HANDS; round++) {
        const { blackoutMs } = await chaos.round(PLUGS, random);
        console.log(`plugs pulled: ${blackoutMs.toFixed(0)} ms without an answer`);
      }
      assert.equal((await chaos.disks()).faults, []);
      assert.equal((await chaos.talkers()).faults, []);
    } catch (error) {
      console.log(`what the boards told: ${chaos.rig.keep()}`);
      throw error;
    } finally {
      await chaos.close();
    }
  },
  { timeoutMs: 180_000 },
);

test.run();

// The twin in small: an unmodified Linux on two boards, one TCP connection through a dozen faults, then both
// disks and everything that was ever said on the plant LAN. All faults: chaos.long.ts.
import { assert, needs, seededRandom, suite } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { Chaos } from './chaos.ts';
import { faultNamed } from './faults.ts';
import { SIDES } from './network.ts';
import { plantOrWhy } from './plant-guest.ts';

const { guest, why = '' } = plantOrWhy();
await enterNamespace();
const test = suite('twin/twin');
test.needs(needs.networkNamespaces());
test.needs(needs.device('/dev/net/tun'));
test.needs({ met: guest !== undefined, why });

const START_MS = 120_000;
const ROUND_MS = 120_000;
const random = seededRandom();
let chaos: Chaos | undefined;

test(
  'two boards come into step around a running guest',
  async () => {
    chaos = await Chaos.start(guest!, { hasScada: true });
    assert.ok((await chaos.rig.client.answers(50, 20_000)).answered >= 50);
  },
  { timeoutMs: START_MS },
);

/** One after the other on the same twin: what one breaks, the next one finds. */
for (const name of [
  'crash of the primary',
  'switch-over',
  'log cable',
  'serial cable',
  'power cut of the primary',
  'death in pieces of the primary',
  'front cable of the primary',
  'TAP of the primary deleted',
  'losses and wrong order on the log link',
  'crash of the backup',
  'disk of the primary fails',
  'log cable and front of the backup',
  'hang of the primary',
  'target dies in sync-up: memory',
  'power cut of the primary, back without log cable',
  'a second start on the primary',
])
  test(
    name,
    async () => {
      assert.ok(chaos !== undefined, 'the twin did not start');
      const result = await chaos.round(faultNamed(name), random);
      console.log(`${name}: blackout ${result.blackoutMs.toFixed(0)} ms`);
    },
    { timeoutMs: ROUND_MS },
  );

test(
  'both disks are whole and equal',
  async () => {
    assert.ok(chaos !== undefined);
    const { faults, records } = await chaos.disks();
    assert.equal(faults, []);
    assert.ok(records > 0);
  },
  { timeoutMs: ROUND_MS },
);

test('never two boards talked', async () => {
  assert.ok(chaos !== undefined);
  const { faults, frames, changes } = await chaos.talkers();
  assert.equal(faults, []);
  assert.ok(frames > 500, `${frames} frames`);
  assert.ok(changes >= 4, `${changes} changes`);
});

test(
  'SCADA ends with what both boards say, and heard of every change on the way',
  async () => {
    const { scada } = chaos!.rig;
    assert.ok(scada !== undefined);
    for (const side of SIDES) await scada.says(side, 'RUN-Redundant');
    assert.equal(scada.unpaid, []);
    // A power cut ends the agent too; a crash and a hang do not, but take the guest away.
    assert.ok(scada.counts.NDEATH >= 1, 'deaths');
    assert.ok(scada.counts.DBIRTH >= 4, 'the guest was born at each takeover');
    assert.ok(scada.told.length >= 10, `${scada.told.length} changes of state`);
  },
  { timeoutMs: 20_000 },
);

test('one connection lived through all of it', () => {
  assert.equal(chaos?.rig.client.faults, []);
  assert.is(chaos?.rig.client.connections, 1);
});

test.after(async () => {
  if (process.exitCode === 1) console.log(`what the boards told: ${chaos?.rig.keep()}`);
  await chaos?.close();
});

test.run();

// A storm on the plant LAN, as far as the real thread of the guest: broadcasts do not become entries of the
// log beyond the rate, what is for the guest does, and the guest answers.
import { assert, suite } from '../../harness/index.ts';
import { needsGcc } from '../../softcpu/guest.ts';
import { frame, LonePlant } from './lone-plant.ts';

const test = suite('board/replication/storm');
test.needs(needsGcc());

const ALL = new Uint8Array(6).fill(0xff);
const LOOP = Uint8Array.of(2, 0xbd, 0, 0, 0, 7);
const STORM_PER_S = 30_000;
const STEP_MS = 20;

test(
  'of 30,000 broadcasts a second the rate gets into the log; the guest answers its client',
  async () => {
    const entries = { broadcast: 0, unicast: 0 };
    const plant = new LonePlant((body) => {
      if (body.kind !== 'net-rx') return;
      if (body.frame[0] === 0xff) entries.broadcast++;
      else entries.unicast++;
    });
    await plant.runner.open();
    await plant.start();
    const seconds = 5;
    let asked = await plant.ask();
    const storm = frame(ALL, LOOP, [8, 6]);
    for (const endMs = seconds * 1_000; plant.nowMs < endMs; plant.nowMs += STEP_MS) {
      plant.takesFrames(...Array.from({ length: (STORM_PER_S * STEP_MS) / 1_000 }, () => storm));
      asked += await plant.ask();
    }
    await plant.runner.vcpu!.pause();
    const { broadcast, unicast } = entries;
    const most = 500 * (seconds + 0.5);
    assert.ok(broadcast > 500 && broadcast <= most, `${broadcast} broadcasts in the log`);
    assert.is(unicast, asked, 'every question is an entry');
    const [net] = plant.runner.nets;
    assert.is(net!.dropped, STORM_PER_S * seconds - broadcast);
    assert.equal([net!.tap, net!.isStorm, net!.source], ['tap0', true, '02:bd:00:00:00:07']);
    await plant.runner.close();
  },
  { timeoutMs: 120_000 },
);

test('a board that does not lead counts nothing: no guest is flooded there', async () => {
  const plant = new LonePlant(() => {});
  await plant.runner.open();
  plant.takesFrames(...Array.from({ length: 5_000 }, () => frame(ALL, LOOP, [8, 6])));
  assert.is(plant.runner.nets[0]!.dropped, 0);
  await plant.runner.close();
});

test.run();

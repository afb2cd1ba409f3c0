// What the host's lines are is told to each life of the guest, as entries.
import { assert, suite } from '../../harness/index.ts';
import { needsGcc } from '../../softcpu/guest.ts';
import { LonePlant } from './lone-plant.ts';

const test = suite('board/replication/serial-lines');
test.needs(needsGcc());

test(
  'a guest that starts over is told its lines again',
  async () => {
    const told: boolean[] = [];
    const plant = new LonePlant((body) => {
      if (body.kind === 'serial-line' && body.port === 'com2') told.push(body.cts);
    });
    await plant.runner.open();
    const line = { kind: 'serial-line', port: 'com2', dsr: false, dcd: true, ri: false } as const;
    plant.takes({ ...line, cts: false });
    await plant.start();
    await plant.ask();
    plant.takes({ ...line, cts: true });
    plant.takes({ kind: 'serial-rx', port: 'com1', bytes: Buffer.from('R') });
    while (plant.lives < 2) await plant.news(50);
    await plant.ask();
    await plant.runner.vcpu!.pause();
    // What it was told at its start may have been before the log began.
    assert.equal(told.slice(-2), [true, true]);
    await plant.runner.close();
  },
  { timeoutMs: 60_000 },
);

test.run();

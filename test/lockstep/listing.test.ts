import { positionUnitOf } from '../../firmware/host/engine-kinds.ts';
import type { Entry } from '../../firmware/lockstep/entry.ts';
import { entryText, LogSummarizer, summaryText } from '../../firmware/lockstep/listing.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('lockstep/listing');

const step: Entry = {
  position: 1000n,
  body: { kind: 'clock-step', ns: 2_000_000n, multiplier: 10n << 32n },
};

function listed(engine: string): string[] {
  const unit = positionUnitOf(engine);
  const summarizer = new LogSummarizer();
  summarizer.add(step);
  const last = summaryText(summarizer.summary(), unit).split('\n').at(-1) ?? '';
  return [entryText(step, unit).trim(), last.split(',')[0] ?? ''];
}

test('positions are called what the engine counts', () => {
  assert.equal(listed('soft'), [
    '1000  clock-step      2.000 ms, 10.000 ns an instruction',
    '1000 instructions',
  ]);
  assert.equal(listed('vtx-branches'), [
    '1000  clock-step      2.000 ms, 10.000 ns a branch',
    '1000 branches',
  ]);
  assert.match(listed('vtx-exits').join(), /ns an exit,1000 exits/);
  assert.match(listed('of-a-later-version').join(), /ns a position,1000 positions/);
});

test.run();

// The line of a guest's clock on another board: by the offset of two clocks, or none where it makes no sense.
import { lineHere } from '../../../firmware/host/vcpu/line.ts';
import { assert, suite } from '../../harness/index.ts';

const test = suite('host/vcpu/line');
const SECOND = 1_000_000_000n;
const NOW = { realNs: 100n * SECOND, virtualNs: 10n * SECOND };

test("a leader's line needs the offset of its clock, an own one does not", () => {
  const offsetNs = 90n * SECOND;
  assert.is(lineHere({ offsetNs, by: 'own' }, undefined, NOW), offsetNs);
  assert.is(lineHere({ offsetNs, by: 'own' }, 5n * SECOND, NOW), offsetNs);
  const line = { offsetNs: offsetNs - 1_000n * SECOND, by: 'leader' } as const;
  assert.is(lineHere(line, undefined, NOW), undefined);
  assert.is(lineHere(line, 1_000n * SECOND, NOW), offsetNs);
  assert.is(lineHere(undefined, 1n, NOW), undefined);
});

test('one that is not of this guest is none: far behind is a stall, ahead by more than a second nothing', () => {
  const at = (behindS: bigint) =>
    lineHere({ offsetNs: (90n - behindS) * SECOND, by: 'own' }, 0n, NOW);
  assert.is(at(300n), -210n * SECOND);
  assert.is(at(-1n), 91n * SECOND);
  assert.is(at(601n), undefined);
  assert.is(at(-2n), undefined);
});

test.run();

// Every combination there is, in virtual time: the arbiter and the alarms do what the factors alone say
// they should (expect.ts), and when everything is mended the pair is redundant.
import { assert, suite } from '../harness/index.ts';
import { expect } from './expect.ts';
import { type Start, wordsOf } from './factors.ts';
import { told } from './told.ts';
import { VirtualPair } from './virtual.ts';

const test = suite('starts/every');
const SHARE = 5;

for (let part = 0; part < SHARE; part++) {
  test(
    `all that a start can find, part ${part + 1} of ${SHARE}`,
    () => {
      const faults = told.deciding.flatMap((start, n) =>
        n % SHARE === part ? faultsOf(start) : [],
      );
      assert.ok(faults.length === 0, `${faults.length}\n${faults.slice(0, 10).join('\n')}`);
    },
    { timeoutMs: 120_000 },
  );
}

function faultsOf(start: Start): string[] {
  const expected = expect(start);
  const pair = new VirtualPair(start);
  const { status, alarms, peer } = pair.settle();
  const { orWhy, ...line } = expected.board!;
  const wanted = { ...line, alarms: [...line.alarms].sort(), peer: expected.peer };
  const why = status.why === orWhy ? line.why : status.why;
  const found = { role: status.role, why, alarms: [...alarms].sort(), peer };
  if (JSON.stringify(wanted) !== JSON.stringify(found))
    return [`${wordsOf(start)}: wanted ${JSON.stringify(wanted)}, found ${JSON.stringify(found)}`];
  return pair.mend() ? [] : [`${wordsOf(start)}: not redundant when all is mended`];
}

test('no more combinations than these decide anything', () => {
  const { whole, refused, deciding, alike } = told;
  assert.is(refused + deciding.length * 1 + alike, whole);
  console.log(
    `${whole} combinations: ${refused} end with one line, ${deciding.length} tried, ${alike} are like one of them`,
  );
});

test.run();

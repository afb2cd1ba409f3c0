// The ways of the log in words: which is in use, what goes wrong, what would happen if one went.
import { logPaths, logPathTrouble } from '../../firmware/board/log-paths.ts';
import type { LogPathFacts } from '../../firmware/board/replication/types.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('board/log-paths');

const GOOD = {
  ...{ hasCarrier: true, trouble: null, isActive: false, isLost: false },
  ...{ rttUs: 80, logBytes: 0 },
};
const NAMES = ['eth1', 'eth2', 'the front LAN'];

function facts(...changes: Partial<LogPathFacts>[]): LogPathFacts[] {
  return changes.map((change, i) => ({ ...GOOD, name: NAMES[i] as string, ...change }));
}

const ACTIVE = { isActive: true };
const PULLED = { hasCarrier: false, isLost: true };
const MUTE = { isLost: true };
const trouble = (...changes: Partial<LogPathFacts>[]) =>
  logPathTrouble(logPaths(facts(...changes)));

test('all is well: nothing to say, and each way knows what follows it', () => {
  const paths = logPaths(facts({ ...ACTIVE, logBytes: 750 }, { logBytes: 250 }, {}));
  assert.equal(
    paths.map(({ state, sharePercent, ifLost }) => [state, sharePercent, ifLost]),
    [
      ['in-use', 75, 'the log goes on over eth2'],
      ['ready', 25, 'nothing changes'],
      ['ready', 0, 'nothing changes'],
    ],
  );
  assert.is(logPathTrouble(paths), null);
});

test('the last way says that it is the last', () => {
  const [first, second, third] = logPaths(facts(PULLED, ACTIVE, MUTE));
  assert.is(second?.ifLost, 'the log link is down');
  assert.equal([first?.state, third?.state], ['no-carrier', 'no-answer']);
  const [, spare] = logPaths(facts(ACTIVE, {}));
  assert.is(spare?.ifLost, 'no other way is left for the log');
});

test('what to mend', () => {
  assert.is(
    trouble(PULLED, MUTE, ACTIVE),
    'the log goes over the front LAN: eth1 has no carrier, eth2 gives no answer; one more fault there, and redundancy is gone',
  );
  assert.is(
    trouble(ACTIVE, PULLED, {}),
    'the log goes over eth1: eth2 has no carrier; one more fault there, and it goes over the front LAN',
  );
  assert.match(trouble({}, ACTIVE) ?? '', 'eth1 answers again');
  const taken = { ...PULLED, trouble: 'bind EADDRINUSE 10.0.0.2:47609' };
  assert.match(trouble(ACTIVE, {}, taken) ?? '', 'the front LAN has no link (bind EADDRINUSE');
});

test('one way, or no session: the alarm of a silent path tells', () => {
  assert.is(trouble(ACTIVE), null);
  assert.is(trouble({ ...PULLED, ...ACTIVE }), null);
  assert.is(trouble({ isLost: null }, { isLost: null }), null);
  assert.equal(
    logPaths(facts({ isLost: null, rttUs: 0 })).map(({ state, rttUs }) => [state, rttUs]),
    [['unknown', null]],
  );
});

test.run();

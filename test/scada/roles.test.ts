// The role of a board: one word for it on the console, to SCADA and on the plain topic.
import type { Status } from '../../firmware/board/status.ts';
import { statusLines } from '../../firmware/console/status-screen.ts';
import { snapshotOf } from '../../firmware/scada/snapshot.ts';
import { ROLES } from '../../watchdog/arbiter-types.ts';
import { healthyStatus } from '../board/alarms/statuses.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('scada/roles');

const valueIn = (status: Status, name: string) =>
  snapshotOf(status, { wallMs: 0 }).node.find((reading) => reading.name === name)?.value;

test('SCADA gets the word of the console, and the word of the arbiter by its own name', () => {
  const words = new Set<unknown>();
  for (const role of ROLES) {
    const status = { ...healthyStatus(), role };
    const shown = /^Board \S+ \(A\) +([A-Z]+) \((\w+)\)/.exec(statusLines(status)[0] as string);
    assert.equal(
      [valueIn(status, 'Board/Role'), valueIn(status, 'Board/Arbiter Role')],
      [...[shown?.[1], role]],
    );
    words.add(shown?.[1]);
  }
  assert.equal([...words].sort(), [
    ...['BACKUP', 'ISOLATED', 'MAINTENANCE', 'PRIMARY', 'STARTING', 'STOPPED'],
  ]);
});

test('the same of the other board, and what only a supervisor says', () => {
  const healthy = healthyStatus();
  for (const [role, word] of [
    ['protected', 'PRIMARY'],
    ['target', 'BACKUP'],
    ['dead', 'DEAD'],
  ] as const) {
    const status = { ...healthy, peer: { ...healthy.peer!, role } };
    assert.equal(
      [valueIn(status, 'Pair/Peer Role'), valueIn(status, 'Pair/Peer Arbiter Role')],
      [word, role],
    );
  }
  assert.is(valueIn({ ...healthy, peer: null }, 'Pair/Peer Role'), null);
});

test.run();

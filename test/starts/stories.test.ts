// Two starts that once ended badly. A board that starts alone, its log card without a carrier, never came
// up. A second `twinstep board` with the same configuration made the pair lose its healthy primary.
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert, needs, suite } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import type { StartedBoard } from './board.ts';
import { startWith, WELL } from './factors.ts';
import { Lane } from './lane.ts';
import { Trial } from './trial.ts';

await enterNamespace();
const test = suite('starts/stories');
test.needs(needs.networkNamespaces());
test.needs(needs.command('gcc'));
const LONG = { timeoutMs: 180_000 };

async function inTrial(start: typeof WELL, story: (trial: Trial) => Promise<void>): Promise<void> {
  const lane = await Lane.make(0);
  const trial = new Trial(lane, start, mkdtempSync(join(tmpdir(), 'twinstep-story-')));
  try {
    await story(trial);
  } finally {
    await trial.close();
    await lane.close();
  }
}

test(
  'alone after a blackout, no carrier on the log card: it comes up, seeks, leads, and takes the cable later',
  () =>
    inTrial(startWith({ log: 'no carrier', peer: 'without power' }), async (trial) => {
      await trial.run();
      const codes = trial.board.codes();
      const order = ['BOARD-STARTED', 'RECORD-LOADED', 'ROLE-SEEKING', 'ROLE-SOLO'];
      const more = ['GUEST-STARTED', 'LINK-UP', 'ROLE-PROTECTED', 'REDUNDANCY-BACK'];
      const at = [...order, ...more].map((code) => codes.indexOf(code));
      assert.ok(
        at.every((place, n) => place >= 0 && place >= (at[n - 1] ?? 0)),
        codes.join(' '),
      );
      const soloAt = codes.indexOf('ROLE-SOLO');
      assert.ok(codes.slice(0, soloAt).includes('LINK-DOWN'), codes.join(' '));
      assert.is(codes.filter((code) => code === 'BOARD-STARTED').length, 1);
    }),
  LONG,
);

test(
  'a second start with the same configuration: one line and code 1, and the pair does not notice',
  () =>
    inTrial(WELL, async (trial) => {
      await trial.run();
      for (const board of [trial.board, trial.peer]) await secondStart(trial, board);
    }),
  LONG,
);

/** What nothing but a death, or a takeover, explains. */
const NOTICED =
  /^(PEER-DEAD|PEER-SEEN|BOARD-(STARTED|DIED|MUTE|GIVEN)|TAKEOVER-|HANDOVER-|ROLE-(PROMOTING|SOLO|FENCED)|RECORD-)/;

async function secondStart(trial: Trial, board: StartedBoard): Promise<void> {
  const pair = [trial.board, trial.peer];
  const before = pair.map(lookOf);
  const told = pair.map(({ events }) => events.length);
  const { code, errors } = await board.second();
  assert.is(errors, `twinstep board: state-dir ${board.file('state')}: another board uses it\n`);
  assert.is(code, 1);
  // A word of a supervisor would have been heard by now, and acted upon: two looks at each.
  for (const one of pair) for (let n = 0; n < 2; n++) await one.ask({ do: 'status' });
  await trial.until('still in step', () => trial.isRedundant);
  assert.equal(pair.map(lookOf), before);
  const since = pair.flatMap(({ events }, n) => events.slice(told[n]));
  assert.equal(
    since.filter(({ code }) => NOTICED.test(code)),
    [],
  );
}

/** Who leads, since which start, and every byte of the records. */
function lookOf(board: StartedBoard) {
  const { status } = board;
  const records = readdirSync(board.state(''))
    .filter((name) => name.startsWith('role-record'))
    .sort()
    .map((name) => [name, readFileSync(board.state(name), 'latin1')]);
  return {
    ...{ role: status?.role, generation: status?.generation, boot: status?.board.boot, records },
    pid: status?.board.pid,
  };
}

test.run();

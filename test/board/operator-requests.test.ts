// Every request of an operator in every role of a board, with everything whole and while things break: it is refused
// with the reason, or taken and then done or failed with the reason; never anything else, and nothing of it later.
import {
  formOf,
  OPERATOR_REQUESTS,
  type Outcome,
  outcomeIn,
  type RequestName,
  requestOf,
  wordsOf,
} from '../../firmware/board/operator-requests.ts';
import { LEADING, type OperatorRequest, ROLES, type Role } from '../../watchdog/arbiter-types.ts';
import { assert, suite } from '../harness/index.ts';
import { type BoardInWorld, IN_ROLE, type RequestWorld } from './request-world.ts';

const test = suite('board/operator-requests');

const ALL = (Object.keys(OPERATOR_REQUESTS) as RequestName[]).flatMap((name) => {
  const { field, number } = OPERATOR_REQUESTS[name];
  if (number !== undefined) return [requestOf(name, { [number.name]: 20 }) as OperatorRequest];
  const fields = field === undefined ? [{}] : [{ [field.name]: true }, { [field.name]: false }];
  return fields.map((given) => requestOf(name, given) as OperatorRequest);
});

/** In which roles it is taken when all is well; in all others it is refused. */
const TAKEN_IN: Readonly<Record<string, readonly Role[]>> = {
  'switch-over': ['protected'],
  'test-failover': ['protected'],
  'maintenance on': ['seeking', 'target', 'backup', 'protected'],
  'maintenance off': ['maintenance'],
  'sync-up allow': ROLES.filter((role) => role !== 'stopped'),
  'sync-up forbid': ROLES.filter((role) => role !== 'stopped'),
  'sync-rate 20': ROLES.filter((role) => role !== 'stopped'),
  restart: ['seeking', 'target', 'backup', 'protected', 'maintenance'],
  'stop --force': ['seeking', 'target', 'backup', 'protected', 'maintenance', 'solo'],
  stop: ['seeking', 'target', 'backup', 'protected', 'maintenance'],
  'force-lead': ['seeking'],
};

/** What breaks at the moment of the request, or soon after. */
const BREAKS: Readonly<Record<string, (world: RequestWorld) => void>> = {
  nothing: () => {},
  'the other board dies': (world) => world.die('b', false),
  'the other board dies and that is told': (world) => world.die('b', true),
  'the log link is cut': (world) => world.cut.add('log'),
  'all ways are cut': (world) => {
    for (const path of ['log', 'serial', 'front'] as const) world.cut.add(path);
  },
};

type End = Outcome | { readonly refused: string } | { readonly gone: true };

const ENDS_WITHIN_MS = 30_000;

/** Asks board a, and goes on until it is known how that ended. */
function ask(world: RequestWorld, asked: OperatorRequest, story: string, then = () => {}): End {
  const { a } = world.boards;
  const { role } = a;
  const answer = world.ask('a', asked);
  if (!answer.ok) {
    assert.is.not(answer.why, '', story);
    assert.is(a.role, role, `${story}: refused, and yet something happened`);
    assert.is(a.events.last?.code, 'REQUEST-REFUSED', story);
    return { refused: answer.why };
  }
  then();
  world.letGo('a');
  world.letGo('b');
  const end = () => outcomeIn(a.events.after(0), answer.taken);
  if (!answer.done)
    world.until(`${story}: an end`, () => end() !== null || !a.isUp, ENDS_WITHIN_MS);
  const outcome = end();
  if (outcome !== null) return outcome;
  assert.is(OPERATOR_REQUESTS[asked.request].ends, 'gone', `${story}: the board went`);
  return { gone: true };
}

/** What "done" promises. */
function assertDone(
  { boards: { a, b } }: RequestWorld,
  asked: OperatorRequest,
  story: string,
): void {
  switch (asked.request) {
    case 'switch-over':
      assert.is(a.role, 'backup', story);
      assert.ok(LEADING.has(b.role), story);
      return;
    case 'maintenance':
      assert.is(a.role === 'maintenance', asked.on, story);
      return;
    case 'sync-up':
      assert.is(a.arbiter.config.syncAllowed, asked.allowed, story);
      return;
    case 'sync-rate':
      return;
    case 'stop':
    case 'restart':
      assert.is(a.role, 'stopped', story);
      return;
    case 'force-lead':
      assert.ok(LEADING.has(a.role) && a.arbiter.gate !== 'closed', story);
      return;
    case 'test-failover':
      assert.unreachable(`${story}: a board that was reset does not tell`);
  }
}

/** All is whole again, and the board goes on for long: whatever failed is not done after all. */
function assertForgotten(world: RequestWorld, story: string): void {
  const { a, b } = world.boards;
  const from = a.roles.length;
  world.cut.clear();
  world.witnessAnswers = { a: true, b: true };
  if (!b.isUp) world.start('b');
  world.pass(10_000);
  const since = a.roles.slice(from);
  for (const role of ['leaving', 'maintenance', 'stopped'] as const)
    assert.not.ok(since.includes(role), `${story}: ${role} long after: ${since.join(' ')}`);
  assert.ok(LEADING.has(a.role) || a.role === 'backup', `${story}: serves on, is ${a.role}`);
}

function endings({ events }: BoardInWorld): string {
  const codes = events.after(0).map(({ code }) => code);
  const count = (wanted: string) => codes.filter((code) => code === wanted).length;
  return `${count('REQUEST-TAKEN')} taken, ${count('REQUEST-DONE') + count('REQUEST-FAILED')} ended`;
}

test('each request in each role: taken or refused as it is written here, and taken is done', () => {
  assert.equal(ALL.map(wordsOf).sort(), Object.keys(TAKEN_IN).sort());
  for (const asked of ALL) {
    for (const role of ROLES) {
      const story = `${wordsOf(asked)} in ${role}`;
      const world = IN_ROLE[role]();
      assert.is(world.boards.a.role, role, story);
      const end = ask(world, asked, story);
      assert.is(
        'refused' in end,
        !TAKEN_IN[wordsOf(asked)]!.includes(role),
        `${story}: ${JSON.stringify(end)}`,
      );
      if ('refused' in end || 'gone' in end) continue;
      assert.equal(end, { done: true }, story);
      assertDone(world, asked, story);
    }
  }
});

test('things break with the request: still refused, done or failed, and nothing of it later', () => {
  const seen = new Set<string>();
  for (const [what, breaks] of Object.entries(BREAKS)) {
    for (const asked of ALL) {
      for (const role of ROLES) {
        const story = `${wordsOf(asked)} in ${role}, ${what}`;
        const world = IN_ROLE[role]();
        const end = ask(world, asked, story, () => breaks(world));
        if ('refused' in end || 'gone' in end) continue;
        seen.add(`${wordsOf(asked)} ${end.done}`);
        if (end.done) continue;
        assert.match(end.why, /^this board is \w+ now: .+/, story);
        assertForgotten(world, story);
      }
    }
  }
  for (const failing of ['switch-over', 'maintenance on', 'restart', 'stop'])
    assert.ok(seen.has(`${failing} false`), `${failing}: no failure was seen`);
});

test('the other board dies at any moment of a hand-over', () => {
  let failures = 0;
  for (const asked of ALL.filter((one) => TAKEN_IN[wordsOf(one)]!.includes('protected'))) {
    if (OPERATOR_REQUESTS[asked.request].ends === 'gone' && asked.request !== 'stop') continue;
    for (const isTold of [true, false]) {
      for (let afterMs = 1; afterMs <= 24; afterMs++) {
        const world = IN_ROLE.protected();
        const story = `${wordsOf(asked)}, the other board dies after ${afterMs} ms`;
        const end = ask(world, asked, story, () => {
          world.pass(afterMs);
          world.die('b', isTold);
        });
        assert.is(endings(world.boards.a), '1 taken, 1 ended', story);
        if (!('done' in end) || end.done) continue;
        failures += 1;
        assertForgotten(world, story);
      }
    }
  }
  assert.ok(failures > 20, `only ${failures} hand-overs failed`);
});

test('force-lead is refused with the reason where this board could not lead', () => {
  const world = IN_ROLE.seeking();
  world.die('a', false);
  world.start('a', { hasWatchdog: false });
  world.pass(2_000);
  assert.equal(world.ask('a', { request: 'force-lead' }), {
    ok: false,
    why: 'no watchdog is armed, and the configuration forbids to lead without one',
  });
  assert.is(world.boards.a.role, 'seeking');
});

test('a hand-over names what is in its way', () => {
  const why = (change: (world: RequestWorld) => void) => {
    const world = IN_ROLE.protected();
    change(world);
    world.pass(20);
    const answer = world.ask('a', { request: 'maintenance', on: true });
    return answer.ok ? '' : answer.why;
  };
  assert.match(
    why((world) => world.ask('b', { request: 'sync-up', allowed: false })),
    'nobody can take over: the other board is not ready (unfit, it limps, or sync-up is forbidden there)',
  );
  assert.match(
    why((world) => {
      world.die('b', false);
      world.pass(20);
    }),
    'nobody can take over: the other board was not heard just now',
  );
});

test('sync-up that is forbidden while it goes on stops', () => {
  const world = IN_ROLE.source();
  assert.ok(world.ask('a', { request: 'sync-up', allowed: false }).ok);
  world.letGo('a');
  world.pass(1_000);
  assert.is(`${world.boards.a.role} ${world.boards.b.role}`, 'solo target');
  assert.ok(world.ask('a', { request: 'sync-up', allowed: true }).ok);
  world.pass(1_000);
  assert.is(world.boards.a.role, 'protected');
});

test('a number is whole and within its bounds, or there is no request', () => {
  for (const mibS of [-1, 1.5, 100_001, '20', null, undefined, Number.NaN]) {
    assert.is(requestOf('sync-rate', { mibS }), '"mibS" must be a whole number, 0 to 100000');
  }
  assert.equal(requestOf('sync-rate', { mibS: 0 }), { request: 'sync-rate', mibS: 0 });
});

test('while the watchdog is about to bite nothing else is taken', () => {
  const world = IN_ROLE.protected();
  const { a } = world.boards;
  a.arbiter = { ...a.arbiter, resetAsked: true };
  for (const asked of ALL.filter(({ request }) => !request.startsWith('sync-'))) {
    const answer = world.ask('a', asked);
    assert.not.ok(answer.ok, wordsOf(asked));
  }
});

test('the table: every form has its words, for people and on the socket', () => {
  for (const asked of ALL) {
    const { help, warning } = formOf(asked);
    assert.ok(help.length > 10 && help.length <= 70, `${wordsOf(asked)}: ${help}`);
    assert.not.match(warning === undefined ? '' : String(warning), 'undefined');
  }
  assert.is(requestOf('maintenance', {}), '"on" must be true or false');
  assert.is(requestOf('stop', { force: 1 }), '"force" must be true or false');
  assert.equal(requestOf('stop'), { request: 'stop', force: false });
});

test.run();

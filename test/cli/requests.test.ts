// Every operator request by the command line, against a board that plays each ending: refused, done, failed, never
// done, gone. The exit code says which, and the words say why.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlServer } from '../../firmware/board/control/server.ts';
import { EventLog } from '../../firmware/board/events.ts';
import {
  OPERATOR_REQUESTS,
  type RequestName,
  type RequestRow,
} from '../../firmware/board/operator-requests.ts';
import type { Status } from '../../firmware/board/status.ts';
import { healthyStatus } from '../board/alarms/statuses.ts';
import { assert, repoPath, suite } from '../harness/index.ts';

const test = suite('cli/requests');
const CLI = repoPath('dist/firmware/cli/twinstep.js');
const LONG = { timeoutMs: 120_000 };
let folder = '';

test.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-cli-requests-'));
});
test.after(() => rmSync(folder, { recursive: true, force: true }));

type Ending = 'refused' | 'done at once' | 'done' | 'failed' | 'never' | 'gone' | 'back';

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly asked: readonly string[];
}

let sockets = 0;

/** One command against one board of its own. */
async function twinstep(ending: Ending, ...args: string[]): Promise<Ran> {
  const path = join(folder, `${sockets++}.sock`);
  const asked: string[] = [];
  let status: Status = { ...healthyStatus(), role: 'leaving', why: 'by the operator' };
  const open = () => {
    const events = new EventLog({ wallMs: () => 1, monoMs: () => 2 });
    return ControlServer.open(path, {
      events,
      status: () => status,
      request: (given) => {
        asked.push(JSON.stringify(given));
        if (ending === 'refused') return { ok: false, why: 'not now' };
        const { seq: taken } = events.tell('REQUEST-TAKEN');
        setTimeout(() => end(events, taken), 100);
        return { ok: true, taken, done: ending === 'done at once' };
      },
      alarms: () => [],
      alarmHistory: () => [],
      ack: () => 0,
      takeScadaReport: () => {},
    });
  };
  const end = async (events: EventLog, taken: number) => {
    if (ending === 'done') events.tell('REQUEST-DONE', undefined, { taken });
    if (ending === 'failed') {
      // That of somebody else.
      events.tell('REQUEST-DONE', undefined, { taken: taken - 1 });
      events.tell('REQUEST-FAILED', undefined, { taken, why: 'this board is solo now: alone' });
    }
    if (ending === 'gone' || ending === 'back') await server.close();
    if (ending !== 'back') return;
    status = { ...status, board: { ...status.board, boot: status.board.boot + 1 } };
    server = await open();
  };
  let server = await open();
  const child = spawn(process.execPath, [CLI, ...args, '--socket', path]);
  let out = '';
  let err = '';
  child.stdout.on('data', (bytes) => {
    out += bytes;
  });
  child.stderr.on('data', (bytes) => {
    err += bytes;
  });
  const [code] = await once(child, 'close');
  await server.close();
  return { code, out, err, asked };
}

const ALL = Object.entries(OPERATOR_REQUESTS) as [RequestName, RequestRow][];
/** Its command line, and what the board is asked then. */
function forms([name, { field, number }]: [RequestName, RequestRow]): [string[], string][] {
  if (number !== undefined)
    return [[[name, '20'], JSON.stringify({ request: name, [number.name]: 20 })]];
  if (field === undefined) return [[[name], JSON.stringify({ request: name })]];
  const [yes, no] = field.words ?? [`--${field.name}`, null];
  return ([true, false] as const).map((value) => {
    const word = value ? yes : no;
    const line = word === null ? [name] : [name, word];
    return [line, JSON.stringify({ request: name, [field.name]: value })];
  });
}

test(
  'refused: 5, with the reason; in each form it asks for what it says',
  async () => {
    for (const request of ALL) {
      for (const [line, asked] of forms(request)) {
        const ran = await twinstep('refused', ...line);
        assert.equal([ran.code, ran.asked], [5, [asked]], line.join(' '));
        assert.is(ran.err, `twinstep ${request[0]}: refused: not now\n`);
        assert.is(ran.out, '');
      }
    }
    const json = await twinstep('refused', 'force-lead', '--json');
    assert.equal([json.code, JSON.parse(json.out)], [5, { ok: false, why: 'not now' }]);
  },
  LONG,
);

test(
  'a number that is none: 2, before anything is asked',
  async () => {
    for (const words of [[], ['fast'], ['-1'], ['1.5'], ['20', '30']]) {
      const ran = await twinstep('refused', 'sync-rate', ...words);
      assert.equal([ran.code, ran.asked], [2, []], words.join(' '));
    }
  },
  LONG,
);

test(
  'done: 0, when it is done and not before',
  async () => {
    for (const request of ALL) {
      const [name, { ends }] = request;
      const [line] = forms(request)[0]!;
      const ran = await twinstep(ends === 'told' ? 'done' : ends, ...line);
      assert.is(ran.code, 0, `${name}: ${ran.err}`);
      assert.match(ran.out, new RegExp(`^${name}: done in \\d+ ms\\n$`));
    }
    const atOnce = await twinstep('done at once', 'sync-up', 'forbid', '--json');
    assert.is(atOnce.code, 0);
    assert.match(atOnce.out, /^\{"ok":true,"done":true,"tookMs":\d+\}\n$/);
    const unwatched = await twinstep('never', 'switch-over', '--no-wait');
    assert.equal([unwatched.code, unwatched.out], [0, 'switch-over: taken\n']);
  },
  LONG,
);

test(
  'failed: 6, with the reason; so is a board that ends meanwhile',
  async () => {
    for (const request of ALL) {
      const [line] = forms(request)[0]!;
      const ran = await twinstep('failed', ...line);
      assert.is(ran.code, 6, request[0]);
      assert.is(ran.err, `twinstep ${request[0]}: failed: this board is solo now: alone\n`);
    }
    const json = await twinstep('failed', 'maintenance', 'on', '--json');
    const facts = { ok: false, taken: true, why: 'this board is solo now: alone' };
    assert.equal([json.code, JSON.parse(json.out)], [6, facts]);
    const ended = await twinstep('gone', 'switch-over');
    assert.equal(
      [ended.code, ended.err],
      [6, 'twinstep switch-over: failed: the board has ended\n'],
    );
  },
  LONG,
);

test(
  'not done in time: 6, with what it waits for',
  async () => {
    const [told, back] = await Promise.all([
      twinstep('never', 'switch-over'),
      twinstep('gone', 'restart', '--json'),
    ]);
    assert.is(told.code, 6);
    assert.match(
      told.err,
      /^twinstep switch-over: begun, not done after 1\d{4} ms: this board is leaving: by the operator\n$/,
    );
    assert.is(back.code, 6);
    const { tookMs, ...facts } = JSON.parse(back.out);
    assert.ok(tookMs >= 15_000);
    assert.equal(facts, { ok: true, done: false, why: 'the board does not answer yet' });
  },
  LONG,
);

test(
  'no board: 1; a word that is missing or too much: 2',
  async () => {
    const path = join(folder, 'nobody.sock');
    const run = async (...args: string[]) => {
      const child = spawn(process.execPath, [CLI, ...args, '--socket', path], { stdio: 'ignore' });
      return (await once(child, 'close'))[0] as number;
    };
    assert.is(await run('force-lead'), 1);
    assert.is(await run('maintenance'), 2);
    assert.is(await run('maintenance', 'maybe'), 2);
    assert.is(await run('switch-over', 'now'), 2);
    assert.is(await run('switch-over', '--force'), 2);
  },
  LONG,
);

test.run();

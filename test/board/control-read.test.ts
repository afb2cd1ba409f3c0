// The control socket for those who only look: what reads is answered, what changes anything is refused,
// counted, and does not reach the board.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlClient } from '../../firmware/board/control/client.ts';
import { ControlServer } from '../../firmware/board/control/server.ts';
import {
  type Controlled,
  E_READ_ONLY,
  READING_VERBS,
  VERB_NAMES,
} from '../../firmware/board/control/verbs.ts';
import { EventLog } from '../../firmware/board/events.ts';
import type { ScadaReport } from '../../firmware/board/scada-desk.ts';
import type { Status } from '../../firmware/board/status.ts';
import { assert, suite } from '../harness/index.ts';
import { until } from '../watchdog/pty.ts';

const test = suite('board/control-read');
let folder = '';
let path = '';
let server: ControlServer;
let changed: string[] = [];
let reports: ScadaReport[] = [];
const events = new EventLog({ wallMs: () => 1, monoMs: () => 2 });

function fakeBoard(): Controlled {
  const change = (what: string) => {
    changed.push(what);
    return { ok: true, taken: 1, done: true } as const;
  };
  return {
    events,
    status: () => ({ role: 'solo' }) as Status,
    request: ({ request }) => change(request),
    alarms: () => [],
    alarmHistory: () => [],
    ack: () => changed.push('ack'),
    takeScadaReport: (report) => void reports.push(report),
  };
}

test.before.each(async () => {
  changed = [];
  reports = [];
  folder = mkdtempSync(join(tmpdir(), 'twinstep-control-read-'));
  path = join(folder, 'control-read.sock');
  server = await ControlServer.open(path, fakeBoard(), process.getgid?.() ?? 0, 'read');
});
test.after.each(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

/** Each with the fields that make it work on the other socket. */
const WRITING = [
  { do: 'switch-over' },
  { do: 'test-failover' },
  { do: 'force-lead' },
  { do: 'maintenance', on: true },
  { do: 'stop', force: true },
  { do: 'restart' },
  { do: 'sync-up', allowed: false },
  { do: 'sync-rate', mibS: 20 },
  { do: 'ack', code: 'all', by: 'eva' },
];

test('every verb is known to read or to write', () => {
  assert.equal(READING_VERBS, ['status', 'events', 'subscribe', 'alarms', 'report-scada']);
  assert.equal(
    VERB_NAMES.filter((name) => !READING_VERBS.includes(name)).sort(),
    WRITING.map((request) => request.do).sort(),
  );
});

test('what changes anything is refused, counted, and reaches nobody', async () => {
  const client = await ControlClient.open(path);
  for (const request of WRITING) {
    const answer = await client.ask({ id: 5, ...request });
    if (answer.ok) throw new Error(`${request.do} was taken`);
    assert.is(answer.code, E_READ_ONLY);
    assert.is(answer.id, 5);
    assert.match(answer.why, `"${request.do}" changes something, and this socket only reads`);
  }
  assert.equal(changed, []);
  assert.is(server.counters.readOnly, WRITING.length);
  client.close();

  const full = join(folder, 'control.sock');
  const other = await ControlServer.open(full, fakeBoard());
  const asker = await ControlClient.open(full);
  for (const request of WRITING) assert.ok((await asker.ask(request)).ok, request.do);
  assert.is(changed.length, WRITING.length, 'the same requests do something on the other socket');
  assert.is(other.counters.readOnly, 0);
  asker.close();
  await other.close();
});

test('what reads is answered, events and status come by themselves', async () => {
  const client = await ControlClient.open(path);
  assert.equal(await client.ask({ do: 'status' }), { ok: true, status: { role: 'solo' } });
  assert.equal(await client.ask({ do: 'alarms', history: 5 }), {
    ok: true,
    alarms: [],
    history: [],
  });
  assert.ok((await client.ask({ do: 'events', after: 0 })).ok);
  const told: string[] = [];
  let statuses = 0;
  client.onTold = ({ event, status }) => {
    if (event !== undefined) told.push(event.text);
    if (status !== undefined) statuses += 1;
  };
  assert.ok((await client.ask({ do: 'subscribe', statusEveryMs: 50 })).ok);
  events.tell('LINK-UP', 'one');
  await until('told', () => told.length === 1 && statuses >= 2);
  const unknown = await client.ask({ do: 'reign' });
  assert.ok(!unknown.ok && unknown.why === `"do" must be one of ${READING_VERBS.join(', ')}`);
  assert.is(server.counters.readOnly, 0);
  client.close();
});

test('an agent says what it is, and nothing else by that', async () => {
  const client = await ControlClient.open(path);
  const report = { tellers: [] };
  assert.equal(await client.ask({ do: 'report-scada', report }), { ok: true });
  assert.equal(reports, [report]);
  for (const wrong of [null, [], 'x', { tellers: 5 }, { tellers: [{ what: 'x' }] }]) {
    const answer = await client.ask({ do: 'report-scada', report: wrong });
    assert.ok(!answer.ok && answer.why.includes('not that of a SCADA agent'));
  }
  assert.is(reports.length, 1);
  assert.equal(changed, []);
  client.close();
});

test('the socket is for its owner and the group it was given', () => {
  const { mode, uid, gid } = statSync(path);
  assert.is(mode & 0o777, 0o660);
  assert.is(uid, process.getuid?.());
  assert.is(gid, process.getgid?.());
});

test.run();

// The control socket: requests and answers, bytes that make no sense, clients that do not read.
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlClient } from '../../firmware/board/control/client.ts';
import { LineReader } from '../../firmware/board/control/lines.ts';
import { ControlServer, LINE_BYTES_MAX } from '../../firmware/board/control/server.ts';
import { type Answered, answerLine, type Controlled } from '../../firmware/board/control/verbs.ts';
import { EventLog } from '../../firmware/board/events.ts';
import type { Status } from '../../firmware/board/status.ts';
import { groupId } from '../../firmware/host/group.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';
import { until } from '../watchdog/pty.ts';

const test = suite('board/control');
let folder = '';
let path = '';
let server: ControlServer;
let asked: string[] = [];
let events: EventLog;

function fakeBoard(): Controlled {
  events = new EventLog({ wallMs: () => 1, monoMs: () => 2 });
  asked = [];
  return {
    events,
    status: () => ({ role: 'solo' }) as Status,
    request: (request) => {
      asked.push(JSON.stringify(request));
      const answer = { ok: true, taken: 17, done: false } as const;
      // The disk is asked first.
      if (request.request === 'restart')
        return new Promise((resolve) => setTimeout(resolve, 20, answer));
      return request.request === 'switch-over' ? { ok: false, why: 'nobody there' } : answer;
    },
    alarms: () => [],
    alarmHistory: () => [],
    ack: (code, by) => {
      asked.push(`ack ${code} ${by}`);
      return 2;
    },
    takeScadaReport: () => {},
  };
}

test.before.each(async () => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-control-'));
  path = join(folder, 'control.sock');
  server = await ControlServer.open(path, fakeBoard());
});
test.after.each(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

test('each verb reaches the board; its answer comes back in order', async () => {
  const client = await ControlClient.open(path);
  const answers = await Promise.all([
    client.ask({ do: 'status' }),
    client.ask({ do: 'switch-over', id: 7 }),
    client.ask({ do: 'test-failover' }),
    client.ask({ do: 'maintenance', on: true }),
    client.ask({ do: 'maintenance', on: false }),
    client.ask({ do: 'force-lead' }),
    client.ask({ do: 'sync-up', allowed: false }),
    client.ask({ do: 'restart', id: 8 }),
    client.ask({ do: 'stop', force: true }),
    client.ask({ do: 'stop', id: 9 }),
  ]);
  assert.equal(answers[0], { ok: true, status: { role: 'solo' } });
  assert.equal(answers[1], { id: 7, ok: false, why: 'nobody there' });
  assert.ok(answers.slice(2).every((answer) => answer.ok));
  assert.equal(answers[7], { id: 8, ok: true, taken: 17, done: false });
  assert.is(answers[9]!.id, 9, 'an answer that takes its time holds up those behind it');
  assert.equal(asked, [
    '{"request":"switch-over"}',
    '{"request":"test-failover"}',
    '{"request":"maintenance","on":true}',
    '{"request":"maintenance","on":false}',
    '{"request":"force-lead"}',
    '{"request":"sync-up","allowed":false}',
    '{"request":"restart"}',
    '{"request":"stop","force":true}',
    '{"request":"stop","force":false}',
  ]);
  client.close();
  assert.is(statSync(path).mode & 0o777, 0o600, 'for this user alone');
});

test('a group may use it, and nobody else', async () => {
  const shared = join(folder, 'shared.sock');
  const group = process.getgid?.() ?? 0;
  const other = await ControlServer.open(shared, fakeBoard(), group);
  const { mode, gid } = statSync(shared);
  assert.is(mode & 0o777, 0o660);
  assert.is(gid, group);
  await other.close();
});

test('a group that cannot be given leaves no socket behind', async () => {
  const refused = join(folder, 'refused.sock');
  let why = '';
  await ControlServer.open(refused, fakeBoard(), 0xffff_fff0 + 0x100).catch((error) => {
    why = error.message;
  });
  assert.is.not(why, '');
  assert.is(existsSync(refused), false);
});

test('groups are found by their whole name', () => {
  const file = join(folder, 'group');
  writeFileSync(file, 'twin:x:5:\ntwinstep:x:900:console\nbroken:x::\n');
  assert.is(groupId('twinstep', file), 900);
  assert.is(groupId('step', file), null);
  assert.is(groupId('broken', file), null);
  assert.is(groupId('twinstep', join(folder, 'none')), null);
});

test('alarms and their acknowledgement', () => {
  const board = fakeBoard();
  const answer = (line: string) => (answerLine(board, line) as Answered).answer;
  assert.equal(answer('{"do":"alarms"}'), { ok: true, alarms: [] });
  assert.equal(answer('{"do":"alarms","history":5}'), { ok: true, alarms: [], history: [] });
  assert.equal(answer('{"do":"ack","code":"DIVERGED","by":"eva"}'), { ok: true, acked: 2 });
  assert.equal(answer('{"do":"ack","code":"all"}'), { ok: true, acked: 2 });
  assert.equal(asked, ['ack DIVERGED eva', 'ack null the operator']);
  for (const line of [
    '{"do":"ack"}',
    '{"do":"ack","code":"NO-SUCH"}',
    '{"do":"ack","code":"all","by":"\\u001b[2J"}',
    '{"do":"alarms","history":-1}',
  ])
    assert.is(answer(line).ok, false, line);
  assert.is(asked.length, 2);
});

test('requests that make no sense are refused in words', () => {
  const board = fakeBoard();
  const why = (line: string) => {
    const { answer } = answerLine(board, line) as Answered;
    return answer.ok ? 'ok' : answer.why;
  };
  assert.is(why('{'), 'not a line of JSON');
  assert.is(why('7'), 'a request is an object: {"do":"status"}');
  assert.match(why('{}'), /"do" must be one of status, events, subscribe/);
  assert.match(why('{"do":"toString"}'), /"do" must be one of/);
  assert.is(why('{"do":"status","x":1}'), '"status" has no field "x"');
  assert.is(why('{"do":"stop","force":1}'), '"force" must be true or false');
  assert.is(why('{"do":"maintenance"}'), '"on" must be true or false');
  assert.is(why('{"do":"sync-up","allowed":"no"}'), '"allowed" must be true or false');
  assert.is(why('{"do":"events","after":-1}'), '"after" must be the number of an event');
  assert.match(why('{"do":"subscribe","statusEveryMs":1}'), /must be a whole number, 50 to 60000/);
  assert.equal(asked, []);
});

test('lines: any cut of the bytes gives the same lines; one too long is given up once', () => {
  const random = seededRandom('control lines');
  const text = `{"a":1}\n\n${'x'.repeat(70)}\n${'y'.repeat(64)}\nrest`;
  for (let n = 0; n < 200; n++) {
    const reader = new LineReader(64);
    const bytes = Buffer.from(text);
    const lines = [];
    for (let at = 0; at < bytes.length; ) {
      const end = at + 1 + random.int(20);
      lines.push(...reader.push(bytes.subarray(at, end)));
      at = end;
    }
    assert.equal(
      lines.map((line) => (line.ok ? line.text : 'too long')),
      ['{"a":1}', '', 'too long', 'y'.repeat(64)],
    );
    assert.is(reader.oversize, 1);
  }
});

async function raw(): Promise<{ socket: Socket; lines: () => string[] }> {
  const socket = connect(path);
  let text = '';
  socket.on('data', (bytes) => {
    text += bytes;
  });
  socket.on('error', () => {});
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  return { socket, lines: () => text.split('\n').slice(0, -1) };
}

test('noise from many clients: each line answered or refused, the board unharmed', async () => {
  const random = seededRandom('control noise');
  for (let n = 0; n < 20; n++) {
    const { socket, lines } = await raw();
    socket.write(random.bytes(random.int(40_000)));
    socket.write('\n{"do":"status"}\n');
    await until('an answer', () => lines().at(-1) === '{"ok":true,"status":{"role":"solo"}}');
    socket.destroy();
  }
  const { socket, lines } = await raw();
  socket.write(`${'x'.repeat(LINE_BYTES_MAX + 1)}\n{"do":"status"}\n`);
  await until('both answered', () => lines().length === 2);
  assert.match(lines()[0]!, /a line has at most 16384 bytes/);
  assert.ok(server.counters.oversize > 0);
  socket.destroy();
});

test('a subscriber gets what was, what comes, and the status as often as asked', async () => {
  events.tell('LINK-UP', 'one');
  events.tell('LINK-UP', 'two');
  const client = await ControlClient.open(path);
  const told: string[] = [];
  let statuses = 0;
  client.onTold = ({ event, status }) => {
    if (event !== undefined) told.push(event.text);
    if (status !== undefined) statuses += 1;
  };
  await client.ask({ do: 'subscribe', after: 1, statusEveryMs: 50 });
  events.tell('LINK-DOWN', 'three', { big: 1n });
  await until('all told', () => told.length === 2 && statuses >= 3);
  assert.equal(told, ['two', 'three']);
  const answer = await client.ask({ do: 'events', after: 2 });
  assert.equal(answer.ok && answer.events?.map(({ data }) => data), [{ big: '1' }]);
  client.close();
});

test('a subscriber that does not read is dropped with a notice; the others are not', async () => {
  const slow = await raw();
  slow.socket.write('{"do":"subscribe"}\n');
  await until('subscribed', () => slow.lines().length === 1);
  slow.socket.pause();
  const good = await ControlClient.open(path);
  let seen = 0;
  good.onTold = () => {
    seen += 1;
  };
  await good.ask({ do: 'subscribe' });
  let sent = 0;
  for (let round = 0; round < 100 && server.counters.dropped === 0; round++) {
    for (let n = 0; n < 50; n++, sent++) events.tell('LINK-UP', 'x'.repeat(2_000));
    await until('the reader has these', () => seen >= sent);
  }
  assert.is(server.counters.dropped, 1);
  await until('the reader has all', () => seen === sent + 1);
  slow.socket.resume();
  await until('told why', () => slow.lines().at(-1) === '{"notice":"dropped: reads too slowly"}');
  good.close();
});

test('a socket left over is replaced, one in use is not', async () => {
  const words = (opened: Promise<unknown>) =>
    opened.then(
      () => 'opened',
      (error) => error.message,
    );
  assert.match(await words(ControlServer.open(path, fakeBoard())), /another board answers there/);
});

test.run();

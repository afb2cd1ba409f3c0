// Alarms: what the status means, what holds and fades, what survives, what people can read about it.
import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AlarmBook, type AlarmChange, HISTORY_MAX } from '../../../firmware/board/alarms/book.ts';
import { ALARM_CODES, type AlarmCode } from '../../../firmware/board/alarms/codes.ts';
import { journalLine, readJournal } from '../../../firmware/board/alarms/journal.ts';
import { AlarmKeeper } from '../../../firmware/board/alarms/keeper.ts';
import { AlarmStore } from '../../../firmware/board/alarms/store.ts';
import { AlarmWatch } from '../../../firmware/board/alarms/watch.ts';
import { EventLog } from '../../../firmware/board/events.ts';
import type { ScadaStatus, TellerReport } from '../../../firmware/board/scada-desk.ts';
import type { Status } from '../../../firmware/board/status.ts';
import { DEFAULT_LIMITS } from '../../../watchdog/limits.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { until } from '../../watchdog/pty.ts';
import { healthyStatus } from './statuses.ts';

const test = suite('board/alarms');
let folder = '';
let path = '';
let nowMs = 0;

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-alarms-'));
  path = join(folder, 'alarms.log');
  nowMs = 100_000;
});
test.after.each(() => rmSync(folder, { recursive: true, force: true }));

interface Watched {
  readonly watch: AlarmWatch;
  readonly said: string[];
}

function watched(raised: readonly AlarmCode[] = []): Watched {
  const said: string[] = [];
  const watch = new AlarmWatch(
    { raise: (code) => said.push(`+${code}`), clear: (code) => said.push(`-${code}`) },
    raised,
  );
  return { watch, said };
}

function lookFor(watch: AlarmWatch, status: Status, ms: number): void {
  for (const end = nowMs + ms; nowMs < end; nowMs += 500) watch.look(status, nowMs);
}

test('a healthy pair raises nothing', () => {
  const { watch, said } = watched();
  lookFor(watch, healthyStatus(), 60_000);
  assert.equal(said, []);
});

test('each thing the status says is one alarm, and ends with it', () => {
  const healthy = healthyStatus();
  const silent = { ...healthy.paths.log, state: 'silent' as const };
  const deaf = { ...healthy.paths.front, peerHears: false };
  const config = healthy.config!;
  const trial = { by: 'eva', minutes: 5, leftMs: 60_000, hash: '' };
  const cases: [Partial<Status>, AlarmCode][] = [
    [{ guest: { ...healthy.guest, state: 'failed' } }, 'GUEST-DOWN'],
    [{ role: 'isolated', pairState: 'STOP' }, 'ISOLATED'],
    [{ role: 'solo', pairState: 'RUN-Solo' }, 'NOT-REDUNDANT'],
    [{ role: 'maintenance', pairState: 'STOP' }, 'MAINTENANCE'],
    [{ pairState: 'STARTUP', safeToRemove: { ok: false, why: '' } }, 'NOBODY-LEADS'],
    [{ paths: { ...healthy.paths, log: silent } }, 'PATH-LOG'],
    [{ paths: { ...healthy.paths, serial: silent } }, 'PATH-SERIAL'],
    [{ paths: { ...healthy.paths, front: silent } }, 'PATH-FRONT'],
    [{ paths: { ...healthy.paths, front: deaf } }, 'PATH-ONE-WAY'],
    [{ witness: { ...healthy.witness, answers: false } }, 'WITNESS'],
    [{ sync: { ...healthy.sync, phase: 'refused', refusals: ['no'] } }, 'SYNC-REFUSED'],
    [{ sync: { ...healthy.sync, isAllowed: false } }, 'SYNC-FORBIDDEN'],
    [{ gate: { mode: 'acked', waiting: 3, oldestMs: 1_500 } }, 'OUTPUT-HELD'],
    [{ health: { ok: false, words: ['stuck'] } }, 'UNFIT'],
    [{ disks: [{ path: '/d', trouble: 'EIO' }] }, 'DISK-FAILED'],
    [{ watchdog: { ...healthy.watchdog, armed: false } }, 'WATCHDOG-OFF'],
    [
      { nets: [{ ...healthy.nets[0]!, isStorm: true, source: '02:00:00:00:00:07' }] },
      'PLANT-STORM',
    ],
    [{ config: { ...config, file: { ...config.file!, hash: 'of another' } } }, 'CONFIG-UNUSED'],
    [{ config: { ...config, trial } }, 'CONFIG-TRIAL'],
  ];
  for (const [change, code] of cases) {
    const { watch, said } = watched();
    lookFor(watch, { ...healthy, ...change }, 5_000);
    assert.equal(said, [`+${code}`]);
    lookFor(watch, healthy, 5_000);
    assert.equal(said, [`+${code}`, `-${code}`]);
  }
});

test('SCADA that is not reached for long, and births that are not kept', () => {
  const reached: ScadaStatus = {
    agent: 'speaks',
    ...{ saidMs: 1, isReached: true, unreachedMs: 0, why: null, tellers: [] },
  };
  const with_ = (change: Partial<ScadaStatus>): Status => ({
    ...healthyStatus(),
    scada: { ...reached, ...change },
  });
  const { watch, said } = watched();
  lookFor(watch, with_({ isReached: false, unreachedMs: 59_000, why: 'off' }), 5_000);
  assert.equal(said, [], 'a broker may start anew');
  lookFor(watch, with_({ isReached: false, unreachedMs: 61_000, why: 'off' }), 5_000);
  assert.equal(said.splice(0), ['+SCADA-UNREACHED']);
  const unsaved = { unsaved: 'no space' } as TellerReport;
  lookFor(watch, with_({ tellers: [unsaved] }), 5_000);
  assert.equal(said.splice(0), ['+SCADA-UNSAVED', '-SCADA-UNREACHED']);
  lookFor(watch, healthyStatus(), 5_000);
  assert.equal(said, ['-SCADA-UNSAVED']);
});

test('a clock that should be set and is not, for a quarter of an hour', () => {
  const service = { by: 'ntpd', servers: ['10.0.0.1'], answer: null };
  const clock = { kernel: null, service, isSet: false, isExpected: true };
  const { watch, said } = watched();
  lookFor(watch, { ...healthyStatus(), clock: { ...clock, unsetMs: 14 * 60_000 } }, 5_000);
  const late = { ...clock, unsetMs: 16 * 60_000 };
  const nobody = { ...late, service: null, isExpected: false };
  lookFor(watch, { ...healthyStatus(), clock: nobody }, 5_000);
  assert.equal(said, [], 'a daemon needs time, and where there is none none is missed');
  lookFor(watch, { ...healthyStatus(), clock: late }, 5_000);
  assert.equal(said.splice(0), ['+CLOCK-UNSET']);
  lookFor(watch, { ...healthyStatus(), clock: { ...clock, isSet: true, unsetMs: 0 } }, 5_000);
  assert.equal(said, ['-CLOCK-UNSET']);
});

test('a path that flickers is one alarm; a hand-over is none; a start is none', () => {
  const healthy = healthyStatus();
  const silent = {
    ...healthy,
    paths: { ...healthy.paths, log: { ...healthy.paths.log, state: 'silent' as const } },
  };
  const { watch, said } = watched();
  lookFor(watch, silent, 2_000);
  for (let n = 0; n < 20; n++) lookFor(watch, n % 2 === 0 ? healthy : silent, 1_000);
  assert.equal(said, ['+PATH-LOG']);
  const swap = watched();
  lookFor(swap.watch, { ...healthy, role: 'solo', pairState: 'RUN-Solo' }, 500);
  lookFor(swap.watch, healthy, 5_000);
  assert.equal(swap.said, []);
  const young = watched();
  const board = { ...healthy.board, upMs: 10_000 };
  lookFor(young.watch, { ...silent, board, pairState: 'SYNCUP' }, 5_000);
  assert.equal(young.said, []);
});

test('the log on a way that is not its best, or with one way lost: PATH-LOG says which', () => {
  const healthy = healthyStatus();
  const way = { rttUs: 80, sharePercent: 50, ifLost: '', trouble: null };
  const status = {
    ...healthy,
    link: {
      ...healthy.link,
      paths: [
        { ...way, name: 'eth1', state: 'no-carrier' as const },
        { ...way, name: 'the front LAN', state: 'in-use' as const },
      ],
    },
  };
  const raised: string[] = [];
  const watch = new AlarmWatch({
    raise: (code, text) => raised.push(`${code}: ${text}`),
    clear: (code) => raised.push(`-${code}`),
  });
  lookFor(watch, status, 2_000);
  lookFor(watch, healthy, 5_000);
  assert.equal(raised, [
    'PATH-LOG: the log goes over the front LAN: eth1 has no carrier; one more fault there, and redundancy is gone',
    '-PATH-LOG',
  ]);
});

test('events that happened, events that begin and end a state, and what fades', () => {
  const { watch, said } = watched();
  const events = new EventLog({ wallMs: () => 1, monoMs: () => nowMs });
  events.listen((event) => watch.take(event));
  events.tell('TAKEOVER-BEGUN', 'asked for', { kind: 'hand-over' });
  events.tell('TAKEOVER-BEGUN', 'it is silent', { kind: 'takeover' });
  events.tell('DIVERGED');
  assert.equal(said.splice(0), ['+TAKEN-OVER', '+DIVERGED']);
  events.tell('RECORD-FAILED', 'no space');
  events.tell('BOARD-STALLED', '40 ms');
  lookFor(watch, healthyStatus(), 2_000);
  assert.equal(said.splice(0), ['+RECORD-FAILED', '+STALLS']);
  events.tell('RECORD-WRITTEN');
  lookFor(watch, healthyStatus(), 5_000);
  assert.equal(said.splice(0), ['-RECORD-FAILED']);
  lookFor(watch, healthyStatus(), 65_000);
  assert.equal(said, ['-STALLS']);
});

test('what an earlier run left ends when it is so no more, and not before', () => {
  const { watch, said } = watched(['ISOLATED', 'TAKEN-OVER', 'DISK-FAILED']);
  const broken = { ...healthyStatus(), disks: [{ path: '/d', trouble: 'EIO' }] };
  lookFor(watch, broken, 2_000);
  assert.equal(said, []);
  lookFor(watch, broken, 4_000);
  assert.equal(said, ['-ISOLATED'], 'an event stays');
});

test('the list: worst first, counted, acknowledged; the same from its records', () => {
  let wall = 1_000;
  const book = new AlarmBook(() => ++wall);
  const changes: AlarmChange[] = [];
  book.onChange = (change) => changes.push(change);
  book.raise('PATH-LOG', 'silent');
  book.raise('PATH-LOG', 'silent still');
  book.raise('TAKEN-OVER', 'it died');
  book.raise('ISOLATED', 'alone');
  book.raise('TAKEN-OVER', 'it died again');
  assert.equal(
    book.list().map(({ code, count }) => `${code} ${count}`),
    ['ISOLATED 1', 'TAKEN-OVER 2', 'PATH-LOG 1'],
  );
  assert.is(book.ack(null, 'eva'), 3);
  assert.is(book.ack(null, 'eva'), 0, 'once');
  assert.equal(
    book.list().map(({ code, acked }) => `${code} ${acked?.by}`),
    ['ISOLATED eva', 'PATH-LOG eva'],
    'an event is gone when it is seen',
  );
  book.clear('PATH-LOG');
  book.clear('PATH-LOG');
  book.raise('PATH-LOG', 'silent');
  assert.is(book.list().at(-1)?.count, 2);
  assert.is(book.list().at(-1)?.acked, null, 'raised anew, to be seen anew');
  const again = new AlarmBook(() => 0);
  again.restore(readJournal(changes.map(journalLine).join('')).changes);
  assert.equal(again.list(), book.list());
  assert.equal(again.history(), book.history());
});

test('the history is bounded, and never forgets what stands', () => {
  const book = new AlarmBook(() => 5);
  book.raise('GUEST-DOWN', 'long ago');
  for (let n = 0; n < HISTORY_MAX * 2; n++) {
    book.raise('WITNESS', 'away');
    book.clear('WITNESS');
  }
  assert.is(book.history().length, HISTORY_MAX);
  const again = new AlarmBook(() => 5);
  again.restore(book.records());
  assert.equal(again.list(), book.list());
  again.raise('WITNESS', 'away');
  assert.is(again.list().find(({ code }) => code === 'WITNESS')?.count, HISTORY_MAX * 2 + 1);
});

test('a journal cut anywhere, or with any byte changed, loses what it must and no more', () => {
  const random = seededRandom();
  const codes = Object.keys(ALARM_CODES) as AlarmCode[];
  const lines = codes.map((code, n) =>
    journalLine({ seq: n, wallMs: n, what: 'raised', code, text: `é ${n}`, count: 1 }),
  );
  const text = lines.join('');
  const bytes = Buffer.from(text);
  for (let n = 0; n < 200; n++) {
    const cut = bytes.subarray(0, random.int(bytes.length + 1)).toString('utf8');
    const read = readJournal(cut);
    assert.is(read.changes.length, cut.split('\n').length - 1);
    assert.is(read.damaged, 0);
    assert.is(read.torn, cut === '' || cut.endsWith('\n') ? 0 : 1);
  }
  for (let n = 0; n < 300; n++) {
    const bent = Uint8Array.from(bytes);
    bent[random.int(bent.length)]! ^= 1 + random.int(255);
    const { changes, damaged, torn } = readJournal(Buffer.from(bent).toString('utf8'));
    assert.ok(changes.length >= codes.length - 2 && changes.length < codes.length);
    assert.ok(damaged + torn >= 1);
    for (const change of changes) assert.ok(text.includes(JSON.stringify(change)));
  }
  for (let n = 0; n < 100; n++) readJournal(Buffer.from(random.bytes(3_000)).toString('utf8'));
  const wrong = journalLine({ what: 'raised', code: 'NO-SUCH' } as unknown as AlarmChange);
  assert.equal(readJournal(wrong), { changes: [], endedInOrder: null, torn: 0, damaged: 1 });
});

function keeper(events: EventLog): AlarmKeeper {
  const clocks = { wallMs: () => 7, monoMs: () => nowMs };
  const made = new AlarmKeeper({ path, events, ...clocks, limits: DEFAULT_LIMITS });
  made.start();
  return made;
}

function newEvents(codes: string[] = []): EventLog {
  const events = new EventLog({ wallMs: () => 7, monoMs: () => nowMs });
  events.listen(({ code, data }) => codes.push(`${code} ${data.alarm ?? ''}`.trim()));
  return events;
}

test('the store: an ordered end, a power cut, a torn line, in the order a plant sees them', async () => {
  const first = keeper(newEvents());
  first.look({ ...healthyStatus(), health: { ok: false, words: ['stuck'] } });
  assert.equal(
    first.list().map(({ code }) => code),
    ['UNFIT'],
  );
  assert.is(first.ack('UNFIT', 'eva'), 1);
  await first.close();

  const codes: string[] = [];
  const second = keeper(newEvents(codes));
  assert.equal(
    second.list().map(({ code, acked }) => `${code} ${acked?.by}`),
    ['UNFIT eva'],
    'no alarm about the start: it ended in order',
  );
  await second.store.close(5_000);
  // Power cut: no close. And the last line is torn.
  const { length } = readFileSync(path);
  appendFileSync(path, journalLine({ what: 'closed' }).slice(0, 12));
  const third = keeper(newEvents(codes));
  assert.ok(third.list().some(({ code }) => code === 'UNCLEAN-START'));
  assert.equal(codes, ['ALARM-RAISED UNCLEAN-START']);
  await third.close();
  assert.is(
    third.store.counters.compacted,
    1,
    'written anew, so that no line hangs on the torn one',
  );
  truncateSync(path, length - 3);
  const fourth = keeper(newEvents());
  assert.is(fourth.list().length > 0, true);
  await fourth.close();
  assert.equal(AlarmStore.load(path).journal.torn, 0);
  assert.equal(AlarmStore.load(path).journal.endedInOrder, true);
});

test('a folder that is gone costs the history and nothing else, and is told', async () => {
  const codes: string[] = [];
  const alarms = keeper(newEvents(codes));
  rmSync(folder, { recursive: true });
  alarms.look({ ...healthyStatus(), health: { ok: false, words: ['stuck'] } });
  await until('it is told', () => codes.includes('ALARM-RAISED ALARMS-UNSAVED'));
  assert.ok(alarms.store.counters.failed > 0);
  await alarms.close();
});

test('a listener that tells is heard in order by all', () => {
  const events = new EventLog({ wallMs: () => 1, monoMs: () => 2 });
  const seen: number[] = [];
  events.listen(({ code }) => {
    if (code === 'DIVERGED') events.tell('ALARM-RAISED');
  });
  events.listen(({ seq }) => seen.push(seq));
  events.tell('DIVERGED');
  events.tell('BOARD-STOPPING');
  assert.equal(seen, [1, 2, 3]);
});

test.run();

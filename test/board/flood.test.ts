// Floods of events: a fault that lasts is told once and then rarely, and what matters outlives whatever is told often,
// in memory and on disk.
import { mkdtempSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AlarmKeeper } from '../../firmware/board/alarms/keeper.ts';
import { EVENT_CODES, type EventCode, isMain, lasts } from '../../firmware/board/event-codes.ts';
import { EventSink } from '../../firmware/board/event-sink.ts';
import { type BoardEvent, EventLog, eventLine } from '../../firmware/board/events.ts';
import { DEFAULT_LIMITS } from '../../watchdog/limits.ts';
import { assert, suite } from '../harness/index.ts';
import { healthyStatus } from './alarms/statuses.ts';

const test = suite('board/flood');
const HOUR_MS = 3_600_000;
const TICK_MS = 250;
const NO_ADAPTER =
  'the serial path is gone: Error: No such file or directory, cannot open /dev/ttyUSB0';

/** An event log whose clock is a number. */
class Log {
  nowMs = 1_000;
  readonly events = new EventLog({ wallMs: () => this.nowMs, monoMs: () => this.nowMs });

  pass(ms: number, everyTick: () => void = () => {}): this {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; ) {
      this.nowMs += TICK_MS;
      everyTick();
      this.events.tick(this.nowMs);
    }
    return this;
  }

  of(code: EventCode): BoardEvent[] {
    return this.events.after(0).filter((event) => event.code === code);
  }
}

test('an adapter that is missing for an hour is told a handful of times, with how often', () => {
  const log = new Log();
  let times = 0;
  log.pass(HOUR_MS, () => {
    if (log.nowMs % 500 !== 0) return;
    times += 1;
    log.events.tell('PATH-TROUBLE', NO_ADAPTER, { path: 'serial' });
  });
  const told = log.of('PATH-TROUBLE');
  assert.is(times, 7_200);
  assert.ok(told.length > 3 && told.length < 10, `${told.length}`);
  assert.is(told[0]!.text, NO_ADAPTER);
  const pauses = told.slice(1).map(({ monoMs }, n) => monoMs - told[n]!.monoMs);
  assert.equal(
    pauses,
    pauses.toSorted((a, b) => a - b),
    'the pause grows',
  );
  assert.ok(told[1]!.monoMs - told[0]!.monoMs <= 1_500, 'that it lasts is told soon');
  for (const { text } of told.slice(1))
    assert.match(text, /^the serial path.*: \d+ times more in \d+ (s|min)$/);
  // Nothing is lost of the count: it is told when the fault is over.
  log.pass(120_000);
  const all = log.of('PATH-TROUBLE');
  assert.is(
    all.reduce((sum, { data }) => sum + Number(data.more ?? 1), 0),
    times,
  );
});

test('another fault of the same code is news, and so is one that is back', () => {
  const log = new Log();
  const serial = () => log.events.tell('PATH-TROUBLE', NO_ADAPTER, { path: 'serial' });
  log.pass(HOUR_MS, serial);
  const before = log.events.last!.seq;
  log.events.tell('PATH-TROUBLE', 'the front path cannot be used: EADDRNOTAVAIL', {});
  assert.is(log.events.last!.seq, before + 1);
  log.events.tell('DISK-TROUBLE', 'disk /dev/sda1: EIO at 4096');
  log.events.tell('DISK-TROUBLE', 'disk /dev/sda2: EIO at 4096');
  log.events.tell('DISK-TROUBLE', 'disk /dev/sda1: EIO at 8192');
  assert.is(log.events.last!.seq, before + 3, 'another disk is news, another place on it is not');
  log.pass(120_000);
  const silent = log.events.last!.seq;
  serial();
  assert.is(log.events.last!.seq, silent + 1, 'over, and back');
  // Words that never repeat are no way around it.
  const letters = (n: number) => String.fromCharCode(97 + (n % 26), 97 + (Math.floor(n / 26) % 26));
  let n = 0;
  const start = log.events.last!.seq;
  log.pass(HOUR_MS, () => log.events.tell('SYNC-STOPPED', `word ${letters(n++)}`));
  assert.ok(log.events.last!.seq - start < 100, `${log.events.last!.seq - start}`);
});

test('every warning that tells of a lasting cause is of that kind; what is told once is not', () => {
  const lasting = (Object.keys(EVENT_CODES) as EventCode[]).filter(lasts);
  for (const code of lasting) {
    const log = new Log().pass(HOUR_MS, () => {});
    log.pass(HOUR_MS, () => log.events.tell(code));
    assert.ok(log.of(code).length < 10, code);
  }
  assert.ok(lasting.includes('PATH-TROUBLE') && lasting.includes('LINK-REFUSED'));
  for (const code of ['REQUEST-DONE', 'ALARM-RAISED', 'ROLE-SOLO', 'TAKEOVER-DONE'] as const) {
    const log = new Log();
    for (let n = 0; n < 5; n++) log.events.tell(code);
    assert.is(log.of(code).length, 5, code);
  }
});

test('takeovers, alarms and roles outlive an hour of anything else in memory', () => {
  const log = new Log();
  const matter = ['TAKEOVER-BEGUN', 'TAKEOVER-DONE', 'ROLE-SOLO', 'ALARM-RAISED'] as const;
  for (const code of matter) log.events.tell(code);
  const flood = ['LINK-UP', 'LINK-DOWN', 'PATH-SILENT', 'PATH-TALKS', 'PEER-SEEN'] as const;
  log.pass(HOUR_MS, () => {
    for (const code of flood) log.events.tell(code);
  });
  const kept = log.events.after(0);
  assert.is(kept.length, 2_000);
  assert.equal(
    kept.slice(0, matter.length).map(({ code }) => code),
    matter,
  );
  const seqs = kept.map(({ seq }) => seq);
  assert.equal(
    seqs,
    seqs.toSorted((a, b) => a - b),
    'in order',
  );
  assert.is(seqs.at(-1), log.events.last!.seq);
});

test('an alarm lasts as long as its fault, however rarely that is told', () => {
  const log = new Log();
  const keeper = new AlarmKeeper({
    path: join(mkdtempSync(join(tmpdir(), 'flood-')), 'alarms.log'),
    events: log.events,
    wallMs: () => log.nowMs,
    monoMs: () => log.nowMs,
    limits: DEFAULT_LIMITS,
  });
  keeper.start();
  const changes = (): string[] =>
    log.events
      .after(0)
      .filter(({ code, data }) => code.startsWith('ALARM-') && data.alarm === 'STALLS')
      .map(({ code }) => code);
  log.pass(HOUR_MS, () => {
    if (log.nowMs % 20_000 === 0) log.events.tell('BOARD-STALLED', 'stood still for 300 ms');
    keeper.look(healthyStatus());
  });
  assert.ok(log.of('BOARD-STALLED').length < 10);
  assert.equal(changes(), ['ALARM-RAISED']);
  log.pass(70_000, () => keeper.look(healthyStatus()));
  assert.equal(changes(), ['ALARM-RAISED', 'ALARM-CLEARED'], 'a minute after the last one');
});

test('a file is begun anew when it is full; what matters has one of its own', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'flood-'));
  const [all, main] = [join(folder, 'all.jsonl'), join(folder, 'main.jsonl')];
  const sinks = { all: EventSink.toFile(all, 64 << 10), main: EventSink.toFile(main, 64 << 10) };
  const log = new Log();
  log.events.listen((event) => {
    sinks.all.put(eventLine(event));
    if (isMain(event.code)) sinks.main.put(eventLine(event));
  });
  log.events.tell('TAKEOVER-DONE');
  for (let round = 0; round < 40; round++) {
    for (let n = 0; n < 100; n++) log.events.tell(n % 2 === 0 ? 'LINK-UP' : 'LINK-DOWN');
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { seq } = log.events.last!;
  await sinks.all.close(5_000);
  await sinks.main.close(5_000);
  const linesOf = (path: string) => readFileSync(path, 'utf8').trim().split('\n');
  for (const path of [all, `${all}.1`])
    assert.ok(statSync(path).size <= 64 << 10, `${path}: ${statSync(path).size}`);
  const numbers = [...linesOf(`${all}.1`), ...linesOf(all)].map((line) => JSON.parse(line).seq);
  assert.ok(numbers.length > 200 && numbers.length < 1_000, `${numbers.length}`);
  assert.equal(
    numbers,
    numbers.map((_, n) => seq - numbers.length + 1 + n),
    'the newest, whole and in order',
  );
  assert.equal(
    linesOf(main).map((line) => JSON.parse(line).code),
    ['TAKEOVER-DONE'],
  );
});

test.run();

// Events: codes and words, order, the ring, bursts, and lines that never make the board wait.
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EVENT_CODES, SEVERITIES } from '../../firmware/board/event-codes.ts';
import { EventSink } from '../../firmware/board/event-sink.ts';
import { EventLog, eventLine } from '../../firmware/board/events.ts';
import { openPty } from '../../native/index.ts';
import { ROLES } from '../../watchdog/arbiter-types.ts';
import { assert, repoPath, suite } from '../harness/index.ts';
import { until } from '../watchdog/pty.ts';
import { codesIn, sources, toldAtOnce } from './codes-told.ts';

const test = suite('board/events');

test('codes are unique, stable in form, with words; every role has one', () => {
  const words = Object.values(EVENT_CODES).map((code) => code.words);
  assert.is(new Set(words).size, words.length, 'two codes say the same');
  for (const [code, { severity, words: text }] of Object.entries(EVENT_CODES)) {
    assert.match(code, /^[A-Z]+(-[A-Z]+)*$/);
    assert.ok(SEVERITIES.includes(severity));
    assert.match(text, /^[a-z].*[^.]$/, code);
  }
  for (const role of ROLES.filter((name) => name !== 'cold'))
    assert.ok(`ROLE-${role.toUpperCase()}` in EVENT_CODES, role);
  // In the source each code stands once: an object literal would swallow the second.
  const source = readFileSync(repoPath('firmware/board/event-codes.ts'), 'utf8');
  for (const code of Object.keys(EVENT_CODES))
    assert.is(source.match(new RegExp(`^  '?${code}'?:`, 'gm'))?.length, 1, code);
});

test('docs/EVENTS.md says the same', () => {
  const page = readFileSync(repoPath('docs/EVENTS.md'), 'utf8');
  const rows = Object.entries(EVENT_CODES).map(
    ([code, { severity, words }]) => `| \`${code}\` | ${severity} | ${words} |`,
  );
  assert.equal(page.match(/^\| `.*$/gm), rows);
});

test('every event is told by somebody, and nothing is told that is no event', () => {
  const texts = sources('firmware', 'watchdog');
  const told = codesIn(texts);
  // By the loop of the arbiter, a code a role.
  for (const role of ROLES.filter((name) => name !== 'cold'))
    told.add(`ROLE-${role.toUpperCase()}`);
  const codes = Object.keys(EVENT_CODES);
  assert.equal(
    codes.filter((code) => !told.has(code)),
    [],
    'in the table, and nobody tells it',
  );
  const calls = texts.flatMap((text) => [...toldAtOnce(text)].map(([, code = '']) => code));
  assert.ok(calls.length > 50);
  assert.equal(
    calls.filter((code) => !codes.includes(code)),
    [],
    'told, and in no table',
  );
  const nothing = codesIn(["if (code === 'NO-NEWS') return;", "case 'NO-NEWS':"]);
  assert.equal([...nothing], [], 'who compares does not tell');
});

test('numbered without gaps, kept in a ring, bursts told once and summed up', () => {
  let nowMs = 0;
  const log = new EventLog({ wallMs: () => 5, monoMs: () => nowMs });
  for (let n = 0; n < 3_000; n++) log.tell('LINK-UP');
  assert.is(log.after(0).length, 2_000);
  assert.is(log.after(0)[0]!.seq, 1_001);
  assert.is(log.last?.text, EVENT_CODES['LINK-UP'].words);
  for (let n = 0; n < 500; n++) log.tellBurst('BOARD-STALLED', `for ${n} ms`, { n });
  assert.equal(
    log.after(3_000).map(({ text }) => text),
    ['for 0 ms'],
  );
  nowMs = 1_500;
  log.tick(nowMs);
  log.tick(nowMs);
  const [, sum, ...more] = log.after(3_000);
  assert.match(sum!.text, /499 times more/);
  assert.equal(sum!.data, { n: 499, more: 499 });
  assert.equal(more, []);
});

test('lines go to a file in order', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-events-'));
  const file = join(folder, 'events.jsonl');
  const sink = EventSink.toFile(file);
  const log = new EventLog({ wallMs: () => 5, monoMs: () => 6 });
  log.listen((event) => sink.put(eventLine(event)));
  for (let n = 0; n < 1_000; n++) log.tell('LINK-UP', `${n}`, { n: BigInt(n) });
  await sink.close(5_000);
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  assert.equal(
    lines.map((line) => JSON.parse(line).data.n),
    [...Array(1_000).keys()].map(String),
  );
  rmSync(folder, { recursive: true });
});

test('a reader that stands still costs lines, not time; the loss is told', async () => {
  const { master, slave, path } = openPty(true);
  closeSync(slave);
  const fd = openSync(path, 'w');
  const sink = EventSink.toDescriptor(fd);
  const begunMs = performance.now();
  for (let n = 0; n < 3_000; n++) sink.put(`${'x'.repeat(1_000)}\n`);
  assert.ok(performance.now() - begunMs < 500);
  assert.ok(sink.dropped > 1_000);
  const buffer = Buffer.alloc(65_536);
  let text = '';
  await until('the notice comes through', () => {
    try {
      text += buffer.toString('latin1', 0, readSync(master, buffer));
    } catch {
      // EAGAIN
    }
    sink.put('later\n');
    return text.includes('events could not be written');
  });
  closeSync(master);
  await sink.close(100);
  closeSync(fd);
});

test.run();

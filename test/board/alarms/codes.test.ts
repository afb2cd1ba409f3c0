// The table of alarms against the code and the pages, both ways: each is raised by somebody, ended by somebody or
// somehow, and told to people; nothing is raised, ended or written about that is none.
import { readdirSync, readFileSync } from 'node:fs';
import { ALARM_CODES, type AlarmCode } from '../../../firmware/board/alarms/codes.ts';
import { AlarmWatch, BEGINS, ENDS, FADES, HAPPENED } from '../../../firmware/board/alarms/watch.ts';
import { EVENT_CODES, type EventCode } from '../../../firmware/board/event-codes.ts';
import { EventLog } from '../../../firmware/board/events.ts';
import { assert, repoPath, suite } from '../../harness/index.ts';
import { codesIn, sources } from '../codes-told.ts';
import { healthyStatus } from './statuses.ts';

const test = suite('board/alarms/codes');
const read = (path: string): string => readFileSync(repoPath(path), 'utf8');

const ALL = Object.keys(ALARM_CODES) as AlarmCode[];
const told = codesIn(sources('firmware', 'watchdog'));

/** From the status, each time anew: gone with its cause. */
const noted = codesOf([read('firmware/board/alarms/watch.ts')], /\bnote\(\s*'([A-Z-]+)'/g);
const begun = new Set(Object.values(BEGINS));
const happened = new Set(Object.values(HAPPENED));
const raisedAtOnce = codesOf(sources('firmware/board'), /\braise\('([A-Z-]+)'/g);
const clearedAtOnce = codesOf(sources('firmware/board'), /\bclear\('([A-Z-]+)'/g);

function codesOf(texts: readonly string[], pattern: RegExp): Set<string> {
  return new Set(texts.flatMap((text) => [...text.matchAll(pattern)].map(([, code = '']) => code)));
}

/** A state begun by an event that no other event ends and that does not fade. */
function lastsToTheNextStart(code: AlarmCode): boolean {
  const isEnded = Object.values(ENDS).some((ended) => ended.includes(code));
  return begun.has(code) && !isEnded && !FADES.has(code) && !clearedAtOnce.has(code);
}

const sections = new Map(
  read('docs/alarms.md')
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.split('\n')[0] as AlarmCode, section]),
);

test('each is raised by somebody, and nothing is raised that is none', () => {
  const raised = new Set<string>([...noted, ...begun, ...happened, ...raisedAtOnce]);
  assert.equal([...raised].sort(), [...ALL].sort());
  for (const event of [...Object.keys(HAPPENED), ...Object.keys(BEGINS)])
    assert.ok(told.has(event), `${event}, which begins an alarm, is told by nobody`);
});

test('a state is never raised as something that happened, nor the other way round', () => {
  const kindsOf = (codes: Iterable<string>) =>
    new Set([...codes].map((code) => ALARM_CODES[code as AlarmCode].kind));
  assert.equal([...kindsOf(happened)], ['event']);
  assert.equal([...kindsOf([...noted, ...begun, ...clearedAtOnce])], ['state']);
});

test('each state is ended by somebody, and nobody ends what was not begun', () => {
  for (const code of raisedAtOnce)
    if (ALARM_CODES[code as AlarmCode].kind === 'state') assert.ok(clearedAtOnce.has(code), code);
  for (const code of clearedAtOnce) assert.ok(raisedAtOnce.has(code), code);
  for (const [event, ended] of Object.entries(ENDS)) {
    assert.ok(event in EVENT_CODES, event);
    assert.ok(told.has(event) || event.startsWith('ROLE-'), `${event} is told by nobody`);
    for (const code of ended) assert.ok(begun.has(code), `${event} ends ${code}`);
  }
  for (const code of FADES) assert.ok(begun.has(code), code);
});

test('what an event began ends with each of its ends, fades, or lasts to the next start', () => {
  for (const [event, code] of Object.entries(BEGINS) as [EventCode, AlarmCode][]) {
    const ends = (Object.keys(ENDS) as EventCode[]).filter((end) => ENDS[end]?.includes(code));
    for (const end of [...ends, undefined]) {
      const words = `${code}, then ${end ?? 'nothing'}`;
      const { said, tell, wait } = watched();
      tell(event);
      wait(5_000);
      assert.equal(said.splice(0), [`+${code}`], words);
      if (end !== undefined) tell(end);
      wait(5_000);
      // RECORD-SLOW, say, ends one alarm and begins another.
      assert.is(said.includes(`-${code}`), end !== undefined, words);
      wait(300_000);
      assert.is(said.includes(`-${code}`), end !== undefined || FADES.has(code), words);
    }
    const { said, wait } = watched([code]);
    wait(5_000);
    assert.equal(said, [`-${code}`], 'a start that does not begin it anew ends it');
  }
});

function watched(raised: readonly AlarmCode[] = []) {
  let nowMs = 1_000_000;
  const said: string[] = [];
  const watch = new AlarmWatch(
    { raise: (code) => said.push(`+${code}`), clear: (code) => said.push(`-${code}`) },
    raised,
  );
  const events = new EventLog({ wallMs: () => 1, monoMs: () => nowMs });
  events.listen((event) => watch.take(event));
  return {
    said,
    tell: (code: EventCode) => events.tell(code),
    wait: (ms: number) => {
      for (const end = nowMs + ms; nowMs < end; nowMs += 500) watch.look(healthyStatus(), nowMs);
    },
  };
}

test('docs/alarms.md has a section for each, in this order, with its words and how it ends', () => {
  assert.equal([...sections.keys()], ALL);
  for (const [code, section] of sections) {
    const { severity, kind, words } = ALARM_CODES[code];
    assert.is(section.split('\n')[2], `${severity}, ${kind}: ${words}`);
    assert.match(section, /\n\*\*Do:\*\* \S.{30}/);
    assert.is(section.includes(`ack ${code}`), kind === 'event', code);
    const lasts = section.includes('Ends with the next start of the board.');
    assert.is(lasts, lastsToTheNextStart(code), code);
  }
});

test('no page names a code that is neither an alarm nor an event', () => {
  /** The folder in paths, and the prompt of a console without a board. */
  const others = ['STATE-DIR', 'NO-BOARD'];
  const known = new Set<string>([...ALL, ...Object.keys(EVENT_CODES), ...others]);
  const pages = readdirSync(repoPath('docs')).filter((name) => name.endsWith('.md'));
  const named = pages.flatMap((name) => {
    const words = read(`docs/${name}`).matchAll(/(?<![\w/.-])[A-Z]{2,}(?:-[A-Z]+)+(?![\w-])/g);
    return [...words].map(([word]) => `${name}: ${word}`);
  });
  assert.ok(named.length > 60, `${named.length}`);
  assert.equal(
    named.filter((words) => !known.has(words.split(': ')[1]!)),
    [],
  );
});

test.run();

// docs/starts.md, from the same lines that real boards are held against.
import { ALARM_CODES, type AlarmCode } from '../../firmware/board/alarms/codes.ts';
import { type Chosen, chosen, SEED } from './chosen.ts';
import { type Expected, expect, type Line } from './expect.ts';
import { FACTORS, type Start, startWith, wordsOf } from './factors.ts';
import { told } from './told.ts';

const ROLE_WORDS: Readonly<Record<Line['role'], string>> = {
  cold: 'waits for its disk (cold)',
  seeking: 'waits (seeking)',
  target: 'follows, not in step (target)',
  backup: 'in step (backup)',
  solo: 'leads alone (solo)',
  protected: 'leads, the other in step (protected)',
};

export function startsPage(): string {
  const { story, single, pairs, folders } = chosen();
  const lines = [
    '# Starts: what a board does with what it finds',
    '',
    ...intro(chosen()),
    '',
    '## Who leads',
    '',
    'By the record on its disk, and by what the other board does; all else well. A record that is new or damaged on',
    'one board needs the other one, or an operator (`force-lead`).',
    '',
    ...whoLeads(),
    '',
    '## One thing wrong',
    '',
    'Both boards are started, and one thing is not as it should be.',
    '',
    ...table(single, 1),
    '',
    '## The stories',
    '',
    ...table(story, 1 + single.length),
    '',
    '## Several things wrong',
    '',
    'With those above, every pair of two things is tried at least once.',
    '',
    ...table(pairs, 1 + single.length + story.length),
    '',
    '## A state folder that is full, read-only or in use',
    '',
    'Full: the board comes up, says nothing to the other one, and waits until there is room. Read-only, or used by another',
    'board: it ends at once, and whoever starts it starts it again.',
    '',
    ...table(folders, 1 + single.length + story.length + pairs.length),
    '',
    '## The alarms of this page',
    '',
    ...alarmsOf([...single, ...story, ...pairs, ...folders]),
  ];
  return `${lines.join('\n')}\n`;
}

function intro({ single, story, pairs, folders }: Chosen): string[] {
  const tried = single.length + story.length + pairs.length + folders.length;
  return [
    'Written by a test; `REWRITE=1 npm test -- ^starts/table` writes it anew. Each numbered line is a start of real boards',
    `(\`npm test -- ^starts\`, ${tried} of them, chosen by seed ${SEED}): the board comes up within seconds, becomes what the`,
    'line says, and raises these alarms and no others. Then everything that was missing comes: cable in, gateway and',
    'other board on, TAP, disk, watchdog and serial port there, room on the disk. It is taken **without a new start**, and',
    'both boards become RUN-Redundant.',
    '',
    `There are ${told.whole} combinations of what a board may find. ${told.refused} end at once with one line. All others`,
    `were tried in virtual time, with the arbiter and the alarms as they are (${told.deciding.length} that differ for whoever`,
    'decides; a TAP and a disk that are missing make the same board unfit, and so on): the same roles, the same alarms, and',
    'RUN-Redundant when everything is mended.',
    '',
    'What a board may find, the good value first:',
    '',
    ...Object.entries(FACTORS).map(([factor, values]) => `- ${factor}: ${values.join(', ')}`),
  ];
}

function whoLeads(): string[] {
  const cell = (start: Start) => {
    const { board } = expect(start);
    return board === null ? '' : `${ROLE_WORDS[board.role]}: ${board.why}`;
  };
  const rows = FACTORS.record.map((record) => [
    record,
    ...FACTORS.peer.map((peer) => cell(startWith({ record, peer }))),
  ]);
  return grid(['record', ...FACTORS.peer.map((peer) => `other board ${peer}`)], rows);
}

function table(starts: readonly Start[], first: number): string[] {
  const rows = starts.map((start, n) => [
    String(first + n),
    wordsOf(start),
    ...cellsOf(expect(start)),
  ]);
  return grid(['', 'found', 'the board', 'says', 'alarms'], rows);
}

function cellsOf({ board, refusal }: Expected): string[] {
  if (board === null) return ['ends with code 1', `\`state-dir FOLDER: ${refusal}\``, ''];
  return [ROLE_WORDS[board.role], board.why, [...board.alarms].sort().join(', ')];
}

function alarmsOf(starts: readonly Start[]): string[] {
  const codes = new Set<AlarmCode>(starts.flatMap((start) => expect(start).board?.alarms ?? []));
  const rows = [...codes].sort().map((code) => {
    const { severity, words } = ALARM_CODES[code];
    return [`[${code}](alarms.md#${code.toLowerCase()})`, severity, words];
  });
  return grid(['', '', ''], rows);
}

function grid(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [row(head), row(head.map(() => '---')), ...rows.map(row)];
}

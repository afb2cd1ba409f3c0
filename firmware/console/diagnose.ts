// What can be said of a board that does not answer: its processes, its configuration with every mistake,
// the last things it told. Reads only.
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
} from 'node:fs';
import { join } from 'node:path';
import { MAIN_EVENTS_FILE } from '../board/board.ts';
import { problemsOf, readConfig } from '../board/config/load.ts';

const TAIL_BYTES = 16 << 10;
const TAIL_LINES = 8;

export async function diagnose(file: string): Promise<string[]> {
  if (!existsSync(file))
    return ['', `This board is bare: there is no ${file} yet. "setup" makes one.`];
  const problems = await problemsOf(file);
  const lines = ['', ...processWords(file), ''];
  if (problems.length === 0) lines.push('The configuration holds.');
  else lines.push(`The configuration is WRONG, so the board cannot start (${problems.length}):`);
  lines.push(...problems.map((problem) => `  ${problem}`));
  const said = await lastWords(file);
  if (said.length > 0) lines.push('', 'The last things it told:', ...said);
  lines.push('', 'The guest does not run on this machine. Whether the plant is served is said by');
  lines.push('"show status" on the other board: look there before you switch this one off.');
  return lines;
}

function processWords(file: string): string[] {
  const found = commandLines().filter(({ words }) => words.includes(file));
  const supervisor = found.find(({ words }) => words.includes('board'));
  const board = found.find(({ words }) => words.includes('board-process'));
  if (supervisor === undefined)
    return ['No supervisor runs ("twinstep board"): nobody will start the board.'];
  if (board === undefined)
    return [
      `The supervisor runs (process ${supervisor.pid}), the board does not: it is started again.`,
    ];
  return [
    `The board runs (process ${board.pid}) but does not answer: it is starting, or it hangs.`,
  ];
}

function commandLines(): { pid: string; words: string[] }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [{ pid, words: readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0') }];
      } catch {
        return [];
      }
    });
}

async function lastWords(file: string): Promise<string[]> {
  try {
    const { eventsFile, stateDir } = (await readConfig(file)).config;
    const lines = tailOf(eventsFile ?? join(stateDir, MAIN_EVENTS_FILE))
      .split('\n')
      .filter(Boolean)
      .slice(-TAIL_LINES);
    return lines.map((line) => {
      const { wallMs, code, text } = JSON.parse(line) as Record<string, unknown>;
      return `  ${new Date(Number(wallMs)).toISOString().slice(5, 19)} ${code}: ${text}`;
    });
  } catch {
    return [];
  }
}

/** Whole lines only. */
function tailOf(path: string): string {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
    const count = readSync(fd, bytes, 0, bytes.length, size - bytes.length);
    const text = bytes.toString('utf8', 0, count);
    return size > bytes.length ? text.slice(text.indexOf('\n') + 1) : text;
  } finally {
    closeSync(fd);
  }
}

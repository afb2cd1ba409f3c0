// The first start of a bare board: a few questions, then the pairing with the other board over the serial
// line, then the configuration. Each answer is held against the rules of the file at once. Nothing is
// written before both technicians have seen the same code. Pure.
import { parseConfig } from '../board/config/parse.ts';
import type { Context } from './context.ts';
import {
  call,
  type Dialogue,
  type Done,
  Interrupted,
  type PairMet,
  type PairSide,
  print,
  readLine,
  type SetupFacts,
} from './needs.ts';

interface Question {
  /** `table.key` of the file. */
  readonly key: string;
  readonly words: string;
  readonly more?: string;
  readonly usual?: (facts: SetupFacts, host: string) => string;
  /** May be left out of the file by answering "none". */
  readonly isOptional?: boolean;
  /** With blanks between: a list in the file, `several`: where it is more than one. */
  readonly list?: 'always' | 'several';
}

const has = (list: readonly string[], wanted: string): string =>
  list.includes(wanted) ? wanted : (list[0] ?? '');

const QUESTIONS: readonly Question[] = [
  { key: 'board.name', words: 'Name of this board', usual: (_, host) => host },
  {
    key: 'serial.port',
    words: 'Serial port to the other board',
    usual: ({ serialPorts }) => has(serialPorts, '/dev/ttyS1'),
  },
  {
    key: 'log.interface',
    words: 'Card of the cable between the boards',
    more: 'A second cable keeps the log off the plant LAN: name both, a blank between.',
    list: 'several',
    usual: ({ cards }) => has(cards, 'log0'),
  },
  {
    key: 'front.interface',
    words: 'Card on the plant LAN',
    usual: ({ cards }) => has(cards, 'plant0'),
  },
  { key: 'front.bind', words: 'Address of THIS board there' },
  { key: 'front.peer', words: 'Address of the OTHER board there' },
  {
    key: 'front.gateway',
    words: 'Address of the gateway, or "none"',
    more: 'It tells a dead board from a dead switch: take one that always answers.',
  },
  {
    key: 'watchdog.kind',
    words: 'Watchdog: "device" or "none"',
    usual: ({ hasWatchdog }) => (hasWatchdog ? 'device' : 'none'),
  },
  { key: 'guest.kernel', words: 'Kernel of the guest', usual: () => '/data/guest/bzImage' },
  { key: 'guest.initrd', words: 'Its initrd, or "none"', usual: () => 'none', isOptional: true },
  { key: 'guest.memory-mib', words: 'Its memory in MiB', usual: () => '256' },
  {
    key: 'guest.tap',
    words: 'Its network card (TAP), or "none"',
    usual: () => 'tap0',
    isOptional: true,
  },
  {
    key: 'guest.disks',
    words: 'Its disks, with blanks between them, or "none"',
    usual: () => 'none',
    isOptional: true,
    list: 'always',
  },
];

type Answers = Map<string, string>;

export function* setup(_args: readonly string[], context: Context): Dialogue {
  const host = context.session.board;
  const facts = yield* call<SetupFacts>({ do: 'setup-facts' });
  yield* print(
    `Enter takes what stands in [ ]. Nothing is written before the end; Ctrl-C ends it.\nCards of this machine: ${facts.cards.join(' ') || 'none'}\n`,
  );
  const answers: Answers = new Map();
  for (;;) {
    for (const question of QUESTIONS) yield* answer(question, answers, facts, host);
    const problems = yield* call<readonly string[]>({
      ...{ do: 'setup-check', text: textOf(answers, 'a') },
    });
    if (problems.length === 0) break;
    yield* print(`This would not work:\n${problems.join('\n')}\nOnce more:\n`);
  }
  const side = yield* pair(answers.get('serial.port')!, answers.get('board.name')!);
  if (side === null) return yield* print('Nothing is written. "setup" begins anew.\n');
  yield* write(textOf(answers, side), side, context.user);
}

function* answer(question: Question, answers: Answers, facts: SetupFacts, host: string): Dialogue {
  const { key, words, more, usual } = question;
  if (more !== undefined) yield* print(`${more}\n`);
  for (;;) {
    const before = answers.get(key) ?? usual?.(facts, host) ?? '';
    const prompt = `${words}${before === '' ? '' : ` [${before}]`}: `;
    const given = (yield* readLine(prompt)).trim() || before;
    if (given === '') continue;
    const tried = new Map(answers).set(key, given);
    const [table, name] = key.split('.');
    // The other keys may still be missing.
    const wrong = parseConfig(textOf(tried, 'a'), '/etc').problems.find(
      ({ text }) => text.startsWith(`[${table}] ${name} `) || text.startsWith('not TOML'),
    );
    if (wrong === undefined) {
      answers.set(key, given);
      return;
    }
    yield* print(`${wrong.text}\n`);
  }
}

/** The file these answers make. */
export function textOf(answers: ReadonlyMap<string, string>, side: 'a' | 'b'): string {
  const lines = [
    '# First configuration, by the wizard of the console. docs/CONFIG.md has every key.',
  ];
  const tables = new Set(['board', ...[...answers.keys()].map((key) => key.split('.')[0]!)]);
  for (const table of tables) {
    lines.push('', `[${table}]`);
    for (const question of QUESTIONS) {
      const given = answers.get(question.key);
      const [own, key] = question.key.split('.');
      if (own !== table || given === undefined) continue;
      if (question.isOptional === true && given === 'none') continue;
      lines.push(`${key} = ${valueText(question, given)}`);
      if (question.key === 'board.name')
        lines.push(`side = "${side}"`, 'pairing-key-file = "pairing.key"');
    }
  }
  return `${lines.join('\n')}\n`;
}

function valueText({ key, list }: Question, given: string): string {
  if (key === 'guest.memory-mib') return /^\d{1,9}$/.test(given) ? String(Number(given)) : '0';
  const parts = given.split(/\s+/);
  const isList = list === 'always' || (list === 'several' && parts.length > 1);
  return JSON.stringify(isList ? parts : given);
}

/** Null: they are not paired, and it has been said why. */
function* pair(port: string, name: string): Dialogue<'a' | 'b' | null> {
  if (port === 'none') {
    yield* print('Without a serial line the boards cannot be paired here: docs/hardware.md.\n');
    return null;
  }
  try {
    yield* print(`Waiting for the other board on ${port}: do the same there. Ctrl-C ends it.\n`);
    const met = yield* call<PairMet>({ do: 'pair-begin', port, name });
    if (!met.ok) return yield* notPaired(met.why);
    const code = `${met.code.slice(0, 3)} ${met.code.slice(3)}`;
    yield* print(
      `The code of this board: ${code}. Nobody sits in between if the other console shows the same.\n`,
    );
    const other = (yield* readLine('Type the code that the OTHER console shows: ')).replace(
      /\s/g,
      '',
    );
    const same = other === met.code;
    if (same) yield* print('Waiting for the other technician.\n');
    const paired = yield* call<PairSide>({ do: 'pair-decide', same });
    if (paired.ok) return paired.side;
    return yield* notPaired(paired.why);
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    yield* call<Done>({ do: 'pair-stop' });
    yield* print('The pairing is stopped.\n');
    return null;
  }
}

function* notPaired(why: string): Dialogue<null> {
  yield* print(`THE BOARDS ARE NOT PAIRED: ${why}.\n`);
  return null;
}

function* write(text: string, side: 'a' | 'b', user: string): Dialogue {
  const done = yield* call<Done>({ do: 'setup-write', text, user });
  if (!done.ok) {
    yield* print(`Not written: ${done.why}. "setup" begins anew, here and there.\n`);
    return;
  }
  yield* print(
    `The boards are paired, and this one is set up as side ${side} ("show config"). It starts within seconds; both wait for your word which disk counts: "request force-lead" on one of them, once.\n`,
  );
}

// What an operator asks of a running board from the command line: asked, waited for, and how it ended. Made from the
// table of operator requests; nothing here knows a single one.
import { ControlClient, NoBoardError } from '../board/control/client.ts';
import {
  OPERATOR_REQUESTS,
  type Outcome,
  outcomeIn,
  type RequestName,
  type RequestRow,
} from '../board/operator-requests.ts';
import type { Status } from '../board/status.ts';
import type { parseStrictlyWith } from './arguments.ts';
import { EXIT, UsageError } from './usage.ts';

export interface RequestValues {
  readonly json?: boolean;
  readonly 'no-wait'?: boolean;
}

export type RequestFields = Readonly<Record<string, boolean | number>>;

const LOOK_MS = 50;

export function requestOptions(name: RequestName): Parameters<typeof parseStrictlyWith>[1] {
  const { field } = OPERATOR_REQUESTS[name];
  const own = field !== undefined && field.words === undefined ? { [field.name]: FLAG } : {};
  return { ...own, 'no-wait': FLAG };
}

const FLAG = { type: 'boolean' } as const;

/** The words that follow the command: "on|off". */
export function requestWords(name: RequestName): string | undefined {
  const { field, number } = OPERATOR_REQUESTS[name];
  return number?.unit ?? field?.words?.join('|');
}

export function requestHelp(name: RequestName): string {
  const { field, number } = OPERATOR_REQUESTS[name];
  const line = (word: string, help: string) => `  ${word.padEnd(15)} ${help}\n`;
  const wait = line('--no-wait', 'do not wait until it is done');
  if (number !== undefined) return line(number.unit, number.help) + wait;
  if (field === undefined) return wait;
  if (field.words === undefined) return line(`--${field.name}`, field.yes.help) + wait;
  const [yes, no] = field.words;
  return line(yes, field.yes.help) + line(no, field.no?.help ?? '') + wait;
}

/** Throws a UsageError. */
export function requestFields(
  name: RequestName,
  values: object,
  positionals: readonly string[],
): RequestFields {
  const { field, number } = OPERATOR_REQUESTS[name];
  const [first, ...rest] = positionals;
  if (number !== undefined) {
    if (rest.length > 0 || first === undefined || !/^\d+$/.test(first))
      throw new UsageError(`say "${name} ${number.unit}", a whole number: ${number.help}`);
    return { [number.name]: Number(first) };
  }
  if (field?.words === undefined) {
    if (first !== undefined) throw new UsageError(`"${first}" is too much`);
    if (field === undefined) return {};
    return { [field.name]: (values as Record<string, unknown>)[field.name] === true };
  }
  const [yes, no] = field.words;
  if (rest.length > 0 || (first !== yes && first !== no))
    throw new UsageError(`say "${name} ${yes}" or "${name} ${no}"`);
  return { [field.name]: first === yes };
}

/** Answers the exit code. `path`: where the board answers again after a restart. */
export async function askAndWait(
  client: ControlClient,
  path: string,
  name: RequestName,
  fields: RequestFields,
  values: RequestValues,
): Promise<number> {
  const begunMs = performance.now();
  const before = await client.status();
  const answer = await client.ask({ do: name, ...fields });
  if (!answer.ok) {
    if (client.hasEnded) throw new NoBoardError(answer.why);
    const { why } = answer;
    return tell(name, values, { ok: false, why }, `refused: ${why}`, EXIT.refused);
  }
  const { taken = 0, done = false } = answer;
  const row = OPERATOR_REQUESTS[name];
  const isAwaited = values['no-wait'] !== true && !(done && row.ends === 'told');
  const outcome = isAwaited ? await endOf(row, { client, path, before, taken }) : null;
  const tookMs = Math.round(performance.now() - begunMs);
  if (outcome?.done === false) {
    const { why } = outcome;
    return tell(name, values, { ok: false, taken: true, why }, `failed: ${why}`, EXIT.unfinished);
  }
  if (isAwaited && outcome === null) {
    const why = await whyNotYet(client);
    const words = `begun, not done after ${tookMs} ms: ${why}`;
    return tell(name, values, { ok: true, done: false, tookMs, why }, words, EXIT.unfinished);
  }
  const isDone = done || outcome !== null;
  if (values.json) process.stdout.write(`${JSON.stringify({ ok: true, done: isDone, tookMs })}\n`);
  else process.stdout.write(`${name}: ${isDone ? `done in ${tookMs} ms` : 'taken'}\n`);
  return EXIT.ok;
}

/** What is not done: on standard error for people, on standard output for machines. Answers its exit code. */
function tell(
  name: string,
  { json }: RequestValues,
  facts: object,
  words: string,
  code: number,
): number {
  if (json) process.stdout.write(`${JSON.stringify(facts)}\n`);
  else process.stderr.write(`twinstep ${name}: ${words}\n`);
  return code;
}

interface Asked {
  readonly client: ControlClient;
  readonly path: string;
  readonly before: Status;
  readonly taken: number;
}

/** Null: not within the time one waits. */
async function endOf(row: RequestRow, asked: Asked): Promise<Outcome | null> {
  const { client, taken, before } = asked;
  for (const endMs = performance.now() + row.withinMs(before); performance.now() < endMs; ) {
    if (client.hasEnded) {
      if (row.ends === 'told') return { done: false, why: 'the board has ended' };
      if (row.ends === 'gone' || (await isBack(asked))) return { done: true };
    } else {
      const answer = await client.ask({ do: 'events', after: taken });
      const outcome = answer.ok ? outcomeIn(answer.events ?? [], taken) : null;
      if (outcome !== null && (row.ends === 'told' || !outcome.done)) return outcome;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return null;
}

/** A later start of this board answers. */
async function isBack({ path, before }: Asked): Promise<boolean> {
  let client: ControlClient | undefined;
  try {
    client = await ControlClient.open(path);
    return (await client.status()).board.boot > before.board.boot;
  } catch {
    return false;
  } finally {
    client?.close();
  }
}

async function whyNotYet(client: ControlClient): Promise<string> {
  if (client.hasEnded) return 'the board does not answer yet';
  const { role, why } = await client.status();
  return `this board is ${role}: ${why}`;
}

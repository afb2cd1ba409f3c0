// One request of the control socket into one answer. What does not make sense is refused in words.
import type { OperatorRequest } from '../../../watchdog/arbiter-types.ts';
import { didYouMean } from '../../words/near.ts';
import type { AlarmChange } from '../alarms/book.ts';
import { ALARM_CODES, type AlarmCode, isAlarmCode } from '../alarms/codes.ts';
import type { BoardEvent, EventLog } from '../events.ts';
import {
  OPERATOR_REQUESTS,
  type RequestAnswer,
  type RequestName,
  requestOf,
} from '../operator-requests.ts';
import { readReport, type ScadaReport } from '../scada-desk.ts';
import type { AlarmView, Status } from '../status.ts';

/** The board, as the socket knows it. */
export interface Controlled {
  readonly events: EventLog;
  status(): Status;
  /** Later, where the disk has to be asked before. */
  request(asked: OperatorRequest): RequestAnswer | Promise<RequestAnswer>;
  alarms(): readonly AlarmView[];
  /** The newest `most` changes, oldest first. */
  alarmHistory(most: number): readonly AlarmChange[];
  /** Null: all. Answers how many it was news for. */
  ack(code: AlarmCode | null, by: string): number;
  /** What the SCADA agent says of itself. */
  takeScadaReport(report: ScadaReport): void;
}

export interface Subscription {
  /** Events up to this number are known already; null: none are wanted from before. */
  readonly after: number | null;
  /** Null: events alone. */
  readonly statusEveryMs: number | null;
}

/** What a socket lets do: everything, or nothing that changes anything. */
export type Access = 'full' | 'read';
/** For programs: this socket only reads. */
export const E_READ_ONLY = 'E_READ_ONLY';

export type Answer = { readonly id?: unknown } & (
  | { readonly ok: false; readonly why: string; readonly code?: typeof E_READ_ONLY }
  | {
      readonly ok: true;
      readonly status?: Status;
      readonly events?: readonly BoardEvent[];
      readonly alarms?: readonly AlarmView[];
      readonly history?: readonly AlarmChange[];
      readonly acked?: number;
      /** Of a request of the operator: the event that says so, and whether it is done by now. */
      readonly taken?: number;
      readonly done?: boolean;
    }
);

export interface Answered {
  readonly answer: Answer;
  readonly subscribe?: Subscription;
}

type Fields = Readonly<Record<string, unknown>>;
type Verb = (board: Controlled, fields: Fields) => Answered | Promise<Answered>;

const STATUS_EVERY_MS = { min: 50, max: 60_000 } as const;

interface VerbShape {
  readonly fields: readonly string[];
  /**
   * Changes nothing of the pair or the board, so that a socket that only reads has it. `itself`: it tells
   * what its asker is, for people to read. A verb that does not say so writes.
   */
  readonly reads?: true | 'itself';
  readonly run: Verb;
}

/** What an operator may ask, from its table. */
const REQUESTS = Object.fromEntries(
  Object.entries(OPERATOR_REQUESTS).map(([name, { field, number }]): [string, VerbShape] => [
    name,
    {
      fields: [field?.name ?? number?.name ?? []].flat(),
      run: (board, fields) => request(board, name as RequestName, fields),
    },
  ]),
);

const VERBS: Readonly<Record<string, VerbShape>> = {
  status: {
    fields: [],
    reads: true,
    run: (board) => ({ answer: { ok: true, status: board.status() } }),
  },
  events: {
    fields: ['after'],
    reads: true,
    run: (board, { after = 0 }) =>
      isCount(after)
        ? { answer: { ok: true, events: board.events.after(after) } }
        : refused('"after" must be the number of an event'),
  },
  subscribe: {
    fields: ['after', 'statusEveryMs'],
    reads: true,
    run: (_board, fields) => subscribe(fields),
  },
  ...REQUESTS,
  alarms: {
    fields: ['history'],
    reads: true,
    run: (board, { history = 0 }) => {
      if (!isCount(history)) return refused('"history" must be how many lines of it are wanted');
      const answer = { ok: true, alarms: board.alarms() } as const;
      return {
        answer: history === 0 ? answer : { ...answer, history: board.alarmHistory(history) },
      };
    },
  },
  'report-scada': {
    fields: ['report'],
    reads: 'itself',
    run: (board, { report: given }) => {
      const report = readReport(given);
      if (report === null) return refused('"report" is not that of a SCADA agent');
      board.takeScadaReport(report);
      return { answer: { ok: true } };
    },
  },
  ack: { fields: ['code', 'by'], run: (board, { code, by }) => ack(board, code, by) },
};

/** What a socket that only reads answers to. */
export const READING_VERBS = Object.keys(VERBS).filter((name) => VERBS[name]?.reads !== undefined);

export const VERB_NAMES = Object.keys(VERBS);

/** At once, but for what needs the disk. */
export function answerLine(
  board: Controlled,
  line: string,
  access: Access = 'full',
): Answered | Promise<Answered> {
  let request: unknown;
  try {
    request = JSON.parse(line);
  } catch {
    return refused('not a line of JSON');
  }
  if (typeof request !== 'object' || request === null || Array.isArray(request))
    return refused('a request is an object: {"do":"status"}');
  const { id, do: name, ...fields } = request as Fields;
  const answered = answerRequest(board, name, fields, access);
  const withId = ({ answer, ...rest }: Answered): Answered => ({
    ...rest,
    answer: id === undefined ? answer : { id, ...answer },
  });
  return answered instanceof Promise ? answered.then(withId) : withId(answered);
}

function answerRequest(
  board: Controlled,
  name: unknown,
  fields: Fields,
  access: Access,
): Answered | Promise<Answered> {
  const verb = typeof name === 'string' && Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  if (verb === undefined) {
    const names = namesFor(access);
    const meant = didYouMean(String(name), names);
    return refused(`"do" must be one of ${names.join(', ')}${meant}`);
  }
  if (access === 'read' && verb.reads === undefined) return { answer: readOnly(name as string) };
  const unknown = Object.keys(fields).find((field) => !verb.fields.includes(field));
  if (unknown !== undefined) {
    const meant = didYouMean(unknown, verb.fields);
    return refused(`"${name}" has no field "${unknown}"${meant}`);
  }
  return verb.run(board, fields);
}

function namesFor(access: Access): readonly string[] {
  return access === 'read' ? READING_VERBS : VERB_NAMES;
}

function readOnly(name: string): Answer {
  const why = `"${name}" changes something, and this socket only reads: ${READING_VERBS.join(', ')}`;
  return { ok: false, code: E_READ_ONLY, why };
}

function request(
  board: Controlled,
  name: RequestName,
  fields: Fields,
): Answered | Promise<Answered> {
  const asked = requestOf(name, fields);
  if (typeof asked === 'string') return refused(asked);
  const answer = board.request(asked);
  return answer instanceof Promise ? answer.then((later) => ({ answer: later })) : { answer };
}

function subscribe({ after = null, statusEveryMs = null }: Fields): Answered {
  if (after !== null && !isCount(after)) return refused('"after" must be the number of an event');
  const { min, max } = STATUS_EVERY_MS;
  if (
    statusEveryMs !== null &&
    !(isCount(statusEveryMs) && statusEveryMs >= min && statusEveryMs <= max)
  )
    return refused(`"statusEveryMs" must be a whole number, ${min} to ${max}`);
  return { answer: { ok: true }, subscribe: { after, statusEveryMs } };
}

function ack(board: Controlled, code: unknown, by: unknown = 'the operator'): Answered {
  if (code !== 'all' && !isAlarmCode(code)) {
    const meant = didYouMean(String(code), Object.keys(ALARM_CODES));
    return refused(`"code" must be that of an alarm, or "all"${meant}`);
  }
  if (typeof by !== 'string' || !/^[ -~]{1,40}$/.test(by))
    return refused('"by" must be a name, at most 40 letters');
  return { answer: { ok: true, acked: board.ack(code === 'all' ? null : code, by) } };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function refused(why: string): Answered {
  return { answer: { ok: false, why } };
}

// Everything an operator may ask of a running board, once: its name, its field on the control socket, the words for
// people, when it is done, and how one who asked sees that. The control socket, `twinstep` and the console are
// made from this table; what a request does and which roles refuse it is watchdog/arbiter-operator.ts.
import { refusedByRole } from '../../watchdog/arbiter-operator.ts';
import type { ArbiterState, OperatorRequest, Role } from '../../watchdog/arbiter-types.ts';
import { SYNC_RATE_MIB_S_MAX } from '../lockstep/sync-rate.ts';
import type { BoardEvent } from './events.ts';
import { mayRestart } from './service-rules.ts';
import type { Status } from './status.ts';

/** `taken` is the number of the event REQUEST-TAKEN; what is not done yet ends in an event that names it. */
export type RequestAnswer =
  | { readonly ok: true; readonly taken: number; readonly done: boolean }
  | { readonly ok: false; readonly why: string };

export type Outcome = { readonly done: true } | { readonly done: false; readonly why: string };

export type RequestName = OperatorRequest['request'];

/** What a person sees of one form of a request. */
interface Form {
  readonly help: string;
  /** Said before it is done, and to be confirmed; none: done at once. */
  readonly warning?: (status: Status) => string;
}

export interface RequestRow extends Form {
  /** Its only field, true or false. */
  readonly field?: {
    readonly name: string;
    /** The words for true and false; none: it is an option, false where it is not given. */
    readonly words?: readonly [yes: string, no: string];
    readonly yes: Form;
    readonly no?: Form;
  };
  /** Its only field, a whole number from 0 to `max`. */
  readonly number?: {
    readonly name: string;
    readonly unit: string;
    readonly max: number;
    readonly help: string;
  };
  /** Who may ask on the console; null: nobody, there it is part of something else. */
  readonly by: 'operator' | 'admin' | null;
  /** Confirmed by the name of the board: one has to know which cable one holds. */
  readonly byName?: true;
  /** Beside its role and health: what a status shows to be against it, or null. */
  readonly against?: (status: Status) => string | null;
  /** Done when; null: under way. */
  readonly outcome: (state: ArbiterState, asked: OperatorRequest) => Outcome | null;
  /** How one who asked sees that it is done: told by event, the board ends, or it ends and is back. */
  readonly ends: 'told' | 'gone' | 'back';
  /** How long one waits for that. */
  readonly withinMs: (status: Status) => number;
  /** Said when it is done. */
  readonly afterwards?: string;
}

const SOON_MS = 15_000;
const soon = (): number => SOON_MS;

const DONE: Outcome = { done: true };

/** It came otherwise: the role this board has now, and why. */
function failed({ role, why }: ArbiterState): Outcome {
  return { done: false, why: `this board is ${role} now: ${why}` };
}

/** At once, or after a hand-over. */
function handedOver(state: ArbiterState, wanted: Role): Outcome | null {
  if (state.role === wanted) return DONE;
  return state.role === 'leaving' ? null : failed(state);
}

const notRedundant = ({ role, pairState }: Status): string | null =>
  role === 'protected' && pairState !== 'RUN-Redundant' ? 'the other board is not in step' : null;

const handsOverFirst = ({ role }: Status): string =>
  role === 'protected' ? ' It hands over to the other board first.' : '';

export const OPERATOR_REQUESTS: Readonly<Record<RequestName, RequestRow>> = {
  'switch-over': {
    help: 'make the other board the primary, without loss',
    by: 'operator',
    warning: ({ board }) =>
      `${board.name} hands over to the other board. The guest goes on without loss.`,
    against: notRedundant,
    outcome: (state) => handedOver(state, 'backup'),
    ends: 'told',
    withinMs: soon,
  },
  'test-failover': {
    help: 'let the watchdog reset this primary, to see the takeover',
    by: 'operator',
    byName: true,
    warning: ({ board }) =>
      `The watchdog RESETS ${board.name}; the other board takes over. This console ends.`,
    against: notRedundant,
    outcome: () => null,
    ends: 'gone',
    withinMs: ({ watchdog }) => SOON_MS + (watchdog.timeoutMs ?? 0),
  },
  maintenance: {
    help: 'take this board out of the pair, or back in',
    field: {
      name: 'on',
      words: ['on', 'off'],
      yes: {
        help: 'this board takes no part',
        warning: ({ board }) =>
          `${board.name} takes no part any more: there is no redundancy until "request maintenance off".`,
      },
      no: { help: 'this board takes part again' },
    },
    by: 'operator',
    against: notRedundant,
    outcome: (state, asked) =>
      asked.request === 'maintenance' && asked.on ? handedOver(state, 'maintenance') : DONE,
    ends: 'told',
    withinMs: soon,
  },
  'sync-up': {
    help: 'allow or forbid bringing the other board into step',
    field: {
      name: 'allowed',
      words: ['allow', 'forbid'],
      yes: { help: 'a board that returns is brought into step' },
      no: {
        help: 'a board that returns waits',
        warning: () =>
          'A board that returns will wait, and the pair stays without redundancy until it is allowed again.',
      },
    },
    by: 'operator',
    outcome: () => DONE,
    ends: 'told',
    withinMs: soon,
  },
  'sync-rate': {
    help: 'how fast a sync-up may be while this board leads, until its next start',
    number: {
      name: 'mibS',
      unit: 'MIB-PER-S',
      max: SYNC_RATE_MIB_S_MAX,
      help: 'MiB a second; 0: as fast as link and disks go',
    },
    by: 'operator',
    outcome: () => DONE,
    ends: 'told',
    withinMs: soon,
  },
  restart: {
    help: 'start this board anew with its configuration; the other one serves on',
    by: 'admin',
    warning: (status) =>
      `${status.board.name} starts anew; until it is back in step there is no redundancy.${handsOverFirst(status)}`,
    against: (status) => (mayRestart(status) ? null : status.safeToRemove.why),
    outcome: (state) => handedOver(state, 'stopped'),
    ends: 'back',
    withinMs: soon,
    afterwards: 'it runs with its configuration. Wait for RUN-Redundant.',
  },
  stop: {
    help: 'stop this board; the other one serves on',
    field: { name: 'force', yes: { help: 'also when the guest then stops' } },
    by: null,
    outcome: (state) => handedOver(state, 'stopped'),
    ends: 'gone',
    withinMs: soon,
  },
  'force-lead': {
    help: 'lead from this disk, whatever the other board has',
    by: 'admin',
    byName: true,
    warning: () =>
      'This board leads from ITS disk. What the other board has and this one has not IS LOST.',
    outcome: (state) => {
      if (['solo', 'source', 'granting', 'protected'].includes(state.role)) return DONE;
      return state.role === 'promoting' ? null : failed(state);
    },
    ends: 'told',
    withinMs: soon,
  },
};

export function outcomeOf(asked: OperatorRequest, state: ArbiterState): Outcome | null {
  return OPERATOR_REQUESTS[asked.request].outcome(state, asked);
}

/** What a status shows to be against it, so that nobody is asked to confirm what will be refused; or null. */
export function refusedEarly(asked: OperatorRequest, status: Status): string | null {
  return OPERATOR_REQUESTS[asked.request].against?.(status) ?? refusedByRole(status.role, asked);
}

export function isRequestName(name: string): name is RequestName {
  return Object.hasOwn(OPERATOR_REQUESTS, name);
}

/** A request with its field; a string says why there is none. */
export function requestOf(
  name: RequestName,
  given: Readonly<Record<string, unknown>> = {},
): OperatorRequest | string {
  const { field, number } = OPERATOR_REQUESTS[name];
  if (number !== undefined) {
    const value = given[number.name];
    if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > number.max)
      return `"${number.name}" must be a whole number, 0 to ${number.max}`;
    return { request: name, [number.name]: value } as unknown as OperatorRequest;
  }
  if (field === undefined) return { request: name } as OperatorRequest;
  const value = given[field.name] ?? (field.words === undefined ? false : undefined);
  if (typeof value !== 'boolean') return `"${field.name}" must be true or false`;
  return { request: name, [field.name]: value } as unknown as OperatorRequest;
}

/** As one would type it: "maintenance on". */
export function wordsOf(asked: OperatorRequest): string {
  const { field, number } = OPERATOR_REQUESTS[asked.request];
  if (number !== undefined)
    return `${asked.request} ${(asked as unknown as Record<string, unknown>)[number.name]}`;
  if (field === undefined) return asked.request;
  const isYes = (asked as unknown as Record<string, unknown>)[field.name] === true;
  const [yes, no] = field.words ?? [`--${field.name}`, ''];
  return `${asked.request} ${isYes ? yes : no}`.trim();
}

export function formOf(asked: OperatorRequest): Form {
  const row = OPERATOR_REQUESTS[asked.request];
  const { field } = row;
  if (field?.words === undefined) return row;
  const isYes = (asked as unknown as Record<string, unknown>)[field.name] === true;
  return (isYes ? field.yes : field.no) ?? row;
}

/** How the request of this number ended, if these events tell. */
export function outcomeIn(events: readonly BoardEvent[], taken: number): Outcome | null {
  const end = events.find(
    ({ code, data }) =>
      (code === 'REQUEST-DONE' || code === 'REQUEST-FAILED') && data.taken === taken,
  );
  if (end === undefined) return null;
  return end.code === 'REQUEST-DONE' ? DONE : { done: false, why: String(end.data.why) };
}

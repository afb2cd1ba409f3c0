// What a dialogue may ask of the terminal that runs it. A dialogue is a generator: it yields a need and
// goes on with the answer, so it reads like the conversation it is and does no I/O. Pure.
import type { Answer } from '../board/control/verbs.ts';
import type { ClockFacts } from '../host/clock.ts';
import type { ToolAnswer } from '../host/time-tools.ts';
import type { UserRole } from './grammar.ts';

/** Done by the outside; the answer comes later. */
export type Call =
  | { readonly do: 'begin' }
  | { readonly do: 'login'; readonly user: string; readonly password: string }
  | {
      readonly do: 'set-user';
      readonly user: string;
      /** Undefined: as it was. */
      readonly role: UserRole | undefined;
      readonly password: string;
    }
  | { readonly do: 'ask'; readonly request: ControlRequest }
  | { readonly do: 'diagnose' }
  | { readonly do: 'time' }
  | { readonly do: 'config' }
  | ConfigCall
  | SetupCall
  | { readonly do: 'power'; readonly what: 'reboot' | 'power-off' }
  | { readonly do: 'open-guest' };

export interface ControlRequest {
  readonly do: string;
  readonly [field: string]: unknown;
}

export interface Begun {
  readonly version: string;
  readonly line: string;
  readonly board: string;
  readonly hasUsers: boolean;
  /** There is no configuration yet. */
  readonly isBare: boolean;
}

export type LoginAnswer =
  | { readonly ok: true; readonly role: UserRole }
  | { readonly ok: false; readonly why: string };

export type Done = { readonly ok: true } | { readonly ok: false; readonly why: string };

/** What the board said, or why nobody did; `isAbsent`: no board answers at all. */
export type BoardAnswer = Answer & { readonly isAbsent?: boolean };

/** The wall clock of this machine, found out without the board. */
export interface TimeText {
  readonly wallMs: number;
  readonly facts: ClockFacts;
  /** What the daemon says when it is asked itself; null: it has no tool here. */
  readonly asked: ToolAnswer | null;
}

export interface ConfigText {
  readonly file: string;
  readonly text: string;
  readonly problems: readonly string[];
  /** Who put it on trial and how long it still has, in words. */
  readonly trial: string | null;
}

/** What is done with the board's file; config-desk.ts. */
export type ConfigCall =
  | { readonly do: 'config-open'; readonly user: string }
  | { readonly do: 'config-close' }
  | { readonly do: 'config-check'; readonly text: string }
  | {
      readonly do: 'config-commit';
      readonly text: string;
      /** What the editor began with. */
      readonly base: string | null;
      readonly user: string;
      readonly minutes: number | null;
    }
  | { readonly do: 'config-history' }
  | { readonly do: 'config-confirm'; readonly keep: boolean }
  | { readonly do: 'factory-reset' };

export type ConfigOpened =
  | { readonly ok: true; readonly file: string; readonly text: string | null }
  | { readonly ok: false; readonly why: string };

/** The first start of a board; setup-desk.ts. */
export type SetupCall =
  | { readonly do: 'setup-facts' }
  | { readonly do: 'setup-check'; readonly text: string }
  | { readonly do: 'pair-begin'; readonly port: string; readonly name: string }
  | { readonly do: 'pair-decide'; readonly same: boolean }
  | { readonly do: 'pair-stop' }
  | { readonly do: 'setup-write'; readonly text: string; readonly user: string };

export interface SetupFacts {
  readonly cards: readonly string[];
  readonly serialPorts: readonly string[];
  readonly hasWatchdog: boolean;
}

export type PairMet =
  | { readonly ok: true; readonly code: string }
  | { readonly ok: false; readonly why: string };
export type PairSide =
  | { readonly ok: true; readonly side: 'a' | 'b' }
  | { readonly ok: false; readonly why: string };

export interface OldConfig {
  readonly replacedMs: number;
  readonly by: string;
  readonly text: string;
}

export type Need =
  | { readonly need: 'print'; readonly text: string }
  /** In pages, unless they are switched off. */
  | { readonly need: 'show'; readonly text: string }
  | { readonly need: 'line'; readonly prompt: string; readonly isCommand?: boolean }
  | { readonly need: 'secret'; readonly prompt: string }
  | { readonly need: 'call'; readonly call: Call }
  | { readonly need: 'watch'; readonly what: 'status' | 'log' }
  | { readonly need: 'guest' }
  | { readonly need: 'wait'; readonly ms: number };

export type Dialogue<T = void> = Generator<Need, T, unknown>;

/** Ctrl-C: thrown into the dialogue. */
export class Interrupted extends Error {}
/** Ctrl-D on an empty line, or the line is gone. */
export class Hangup extends Error {}

export function* print(text: string): Dialogue {
  yield { need: 'print', text };
}

export function* show(text: string): Dialogue {
  yield { need: 'show', text };
}

export function* readLine(prompt: string): Dialogue<string> {
  return (yield { need: 'line', prompt }) as string;
}

export function* readSecret(prompt: string): Dialogue<string> {
  return (yield { need: 'secret', prompt }) as string;
}

export function* ask(request: ControlRequest): Dialogue<BoardAnswer> {
  return (yield { need: 'call', call: { do: 'ask', request } }) as BoardAnswer;
}

export function* call<T>(what: Call): Dialogue<T> {
  return (yield { need: 'call', call: what }) as T;
}

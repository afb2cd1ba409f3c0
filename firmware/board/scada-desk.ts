// What the SCADA agent says of itself, and since when SCADA is not reached. The agent is a process of its own
// without rights: it reports over the socket that only reads, about once a second, and all of it is words for
// people and one alarm; nothing a board decides depends on it. Whoever may open that socket can report what
// he likes, so it is checked and bounded. Pure: the owner brings the clock.

import { SERVERS_MAX } from './config/scada-types.ts';

export interface ServerReport {
  readonly url: string;
  readonly state: 'untried' | 'trying' | 'connected' | 'lost';
  /** How long it has been so. */
  readonly forMs: number;
  readonly connects: number;
  /** The last thing that went wrong there. */
  readonly trouble: { readonly text: string; readonly agoMs: number } | null;
}

/** One connection of the agent. */
export interface TellerReport {
  /** Sparkplug, or the status topic. */
  readonly what: string;
  readonly clientId: string;
  /** The board is told there. */
  readonly isTold: boolean;
  /** Why not, or what is wrong although it is; null: nothing. */
  readonly why: string | null;
  /** Place in the list of the server in use. */
  readonly at: number;
  readonly servers: readonly ServerReport[];
  readonly births: number;
  /** What was sent last. */
  readonly sent: { readonly what: string; readonly agoMs: number } | null;
  /** What cannot be kept on disk; null: all is. */
  readonly unsaved: string | null;
}

export interface ScadaReport {
  readonly tellers: readonly TellerReport[];
}

export interface ScadaStatus {
  /** absent: it has said nothing since the start of the board. */
  readonly agent: 'speaks' | 'silent' | 'absent';
  /** Since its last report; null: there was none. */
  readonly saidMs: number | null;
  /** All of it is told, for long enough to count. */
  readonly isReached: boolean;
  /** How long SCADA has not been reached; 0: it is. */
  readonly unreachedMs: number;
  /** Why not, in words; null: it is. */
  readonly why: string | null;
  readonly tellers: readonly TellerReport[];
}

/** An agent that reports once a second and has said nothing for so long is not there. */
export const AGENT_SILENT_MS = 10_000;
/** A connection that stands less is no news: it may be cut the moment after. */
export const STANDS_MS = 10_000;

export class ScadaDesk {
  private report: ScadaReport | null = null;
  private reportMs = 0;
  private reachedMs: number;

  constructor(nowMs: number) {
    this.reachedMs = nowMs;
  }

  take(report: ScadaReport, nowMs: number): void {
    this.report = report;
    this.reportMs = nowMs;
    if (isReached(report)) this.reachedMs = nowMs;
  }

  status(nowMs: number): ScadaStatus {
    const { report } = this;
    if (report === null) return this.without('absent', null, nowMs);
    const saidMs = nowMs - this.reportMs;
    if (saidMs > AGENT_SILENT_MS) return this.without('silent', saidMs, nowMs);
    const reached = isReached(report);
    return {
      ...{ agent: 'speaks', saidMs, isReached: reached },
      unreachedMs: reached ? 0 : nowMs - this.reachedMs,
      why: reached ? null : whyNot(report),
      tellers: report.tellers.map((teller) => older(teller, saidMs)),
    };
  }

  private without(agent: 'absent' | 'silent', saidMs: number | null, nowMs: number): ScadaStatus {
    const why =
      agent === 'absent'
        ? 'no agent (twinstep scada) has reported since the start of this board'
        : 'its agent (twinstep scada) reports no more';
    return {
      ...{ agent, saidMs, isReached: false, unreachedMs: nowMs - this.reachedMs, why },
      tellers: (this.report?.tellers ?? []).map((teller) => older(teller, saidMs ?? 0)),
    };
  }
}

function isReached({ tellers }: ScadaReport): boolean {
  return (
    tellers.length > 0 &&
    tellers.every(
      ({ isTold, why, at, servers }) =>
        isTold && why === null && (servers[at]?.forMs ?? 0) >= STANDS_MS,
    )
  );
}

function whyNot({ tellers }: ScadaReport): string {
  const bad = tellers.find(({ isTold, why }) => !isTold || why !== null);
  if (bad === undefined) return 'it has just been connected';
  return `${bad.what}: ${bad.why ?? 'not connected yet'}`;
}

/** The same, some time later. */
function older(teller: TellerReport, ms: number): TellerReport {
  const { servers, sent } = teller;
  return {
    ...teller,
    sent: sent === null ? null : { ...sent, agoMs: sent.agoMs + ms },
    servers: servers.map((server) => ({
      ...server,
      forMs: server.forMs + ms,
      trouble:
        server.trouble === null ? null : { ...server.trouble, agoMs: server.trouble.agoMs + ms },
    })),
  };
}

const TELLERS_MAX = 2;
const TEXT_MAX = 300;

/** Null: it is none. Texts are cut, lists are not: a list that is too long is none. */
export function readReport(given: unknown): ScadaReport | null {
  const tellers = listOf(fieldsOf(given)?.tellers, TELLERS_MAX, tellerOf);
  return tellers === null ? null : { tellers };
}

function tellerOf(given: unknown): TellerReport | null {
  const fields = fieldsOf(given);
  if (fields === null) return null;
  const { what, clientId, isTold, why, at, births, sent, unsaved } = fields;
  const servers = listOf(fields.servers, SERVERS_MAX, serverOf);
  const said = orNull(sent, (one) => {
    const { what: kind, agoMs } = fieldsOf(one) ?? {};
    return isText(kind) && isCount(agoMs) ? { what: cut(kind), agoMs } : undefined;
  });
  const [reason, disk] = [why, unsaved].map((one) =>
    orNull(one, (text) => (isText(text) ? cut(text) : undefined)),
  );
  if (servers === null || said === undefined || reason === undefined || disk === undefined)
    return null;
  if (!isText(what) || !isText(clientId) || typeof isTold !== 'boolean') return null;
  if (!isCount(at) || !isCount(births)) return null;
  return {
    ...{ what: cut(what), clientId: cut(clientId), isTold, why: reason, at, births },
    ...{ servers, sent: said, unsaved: disk },
  };
}

const STATES: ReadonlySet<unknown> = new Set(['untried', 'trying', 'connected', 'lost']);

function serverOf(given: unknown): ServerReport | null {
  const { url, state, forMs, connects, trouble } = fieldsOf(given) ?? {};
  const wrong = orNull(trouble, (one) => {
    const { text, agoMs } = fieldsOf(one) ?? {};
    return isText(text) && isCount(agoMs) ? { text: cut(text), agoMs } : undefined;
  });
  if (wrong === undefined || !isText(url) || !STATES.has(state)) return null;
  if (!isCount(forMs) || !isCount(connects)) return null;
  return {
    ...{ url: cut(url), state: state as ServerReport['state'], forMs, connects },
    trouble: wrong,
  };
}

function fieldsOf(given: unknown): Readonly<Record<string, unknown>> | null {
  return typeof given === 'object' && given !== null && !Array.isArray(given)
    ? (given as Readonly<Record<string, unknown>>)
    : null;
}

function listOf<T>(given: unknown, most: number, read: (one: unknown) => T | null): T[] | null {
  if (!Array.isArray(given) || given.length > most) return null;
  const all = given.map(read);
  return all.includes(null) ? null : (all as T[]);
}

/** Undefined: neither null nor what it must be. */
function orNull<T>(given: unknown, read: (one: unknown) => T | undefined): T | null | undefined {
  return given === null ? null : read(given);
}

const isText = (given: unknown): given is string => typeof given === 'string';
const isCount = (given: unknown): given is number =>
  Number.isSafeInteger(given) && Number(given) >= 0;
const cut = (text: string): string => text.slice(0, TEXT_MAX);

// Which of several brokers is tried next, after which pause, and what people are told about it. The one
// place that goes from server to server, so none is skipped and every word names the server it is of. Pure:
// the owner brings clock and randomness.
//
// Two clients with the same id end each other's connection as soon as they have their own: MQTT 3.1.1 has
// no word for that, but nothing else cuts one accepted connection after the other so soon.
//
// Caller's duties: begin, then accepted or not, then ended; once each a connection.
import { RETRY, Retry } from './retry.ts';

/** A connection that stood this long is well: longer than the longest pause of another with the same id. */
export const PROVEN_MS = 60_000;
/** Accepted and cut this often in a row, before it was proven: somebody else has this id. */
export const CUTS_MAX = 3;
/** While no server has the primary host: all of them are asked again and again, but not by a whole plant at once. */
const HOST_RETRY = { firstMs: RETRY.firstMs, mostMs: 10_000 } as const;

export type Ending =
  /** It did not come about, or this side gave it up. */
  | { readonly how: 'failed'; readonly why: string }
  /** Accepted, then ended by the other side. */
  | { readonly how: 'cut'; readonly why: string }
  /** Left in order: to the next server, or to come back to this one. */
  | { readonly how: 'left'; readonly walk: boolean; readonly why: string };

export interface ServerFacts {
  readonly url: string;
  readonly state: 'untried' | 'trying' | 'connected' | 'lost';
  /** Connected since, or without connection since. */
  readonly sinceMs: number;
  readonly connects: number;
  /** The last thing that went wrong there, in words without its name. */
  readonly trouble: { readonly text: string; readonly atMs: number } | null;
}

interface Server {
  facts: ServerFacts;
  /** In a row, each before the connection was proven. */
  cuts: number;
  /** What people were told last of it, unless it was well since. */
  told: string;
}

export interface Next {
  readonly pauseMs: number;
  /** For people; null: they know. */
  readonly notice: string | null;
}

export class ServerWalk {
  private readonly servers: readonly Server[];
  private readonly clientId: string;
  private readonly retry = new Retry();
  private readonly hostRetry = new Retry(HOST_RETRY);
  /** What went wrong last, and where, in words. */
  lastTrouble: string | null = null;
  private at = 0;
  private acceptedMs: number | null = null;
  private isTroubleTold = false;

  constructor(urls: readonly string[], clientId: string, nowMs: number) {
    this.clientId = clientId;
    this.servers = urls.map((url) => ({
      facts: { url, state: 'untried', sinceMs: nowMs, connects: 0, trouble: null },
      cuts: 0,
      told: '',
    }));
  }

  /** The place in the list of the server that is tried, or was last. */
  get index(): number {
    return this.at;
  }

  get facts(): readonly ServerFacts[] {
    return this.servers.map(({ facts }) => facts);
  }

  /** Somebody else takes this connection away again and again. */
  get isContested(): boolean {
    return this.server.cuts >= CUTS_MAX;
  }

  begin(nowMs: number): void {
    this.acceptedMs = null;
    this.becomes('trying', nowMs);
  }

  /** Answers what to tell. */
  accepted(nowMs: number): string | null {
    const { server } = this;
    this.acceptedMs = nowMs;
    this.becomes('connected', nowMs);
    server.facts = { ...server.facts, connects: server.facts.connects + 1 };
    if (!this.isTroubleTold) return null;
    this.isTroubleTold = false;
    return `connected to ${server.facts.url}`;
  }

  /** What it is connected for has begun: the primary host is here. */
  settled(): void {
    this.hostRetry.succeeded();
  }

  ended(ending: Ending, nowMs: number, random: number): Next {
    const { server } = this;
    if (this.acceptedMs !== null && nowMs - this.acceptedMs >= PROVEN_MS) this.prove(server);
    this.acceptedMs = null;
    this.becomes('lost', nowMs);
    if (ending.how === 'cut') server.cuts += 1;
    if (ending.how === 'failed') server.cuts = 0;
    const text = this.isContested ? this.contest() : ending.why;
    server.facts = { ...server.facts, trouble: { text, atMs: nowMs } };
    this.lastTrouble = `${server.facts.url}: ${text}`;
    const isNews = text !== server.told;
    server.told = text;
    this.isTroubleTold ||= isNews;
    if (ending.how !== 'left' || ending.walk) this.at = (this.at + 1) % this.servers.length;
    const retry = ending.how === 'left' ? this.hostRetry : this.retry;
    return { pauseMs: retry.nextMs(random), notice: isNews ? this.lastTrouble : null };
  }

  private prove(server: Server): void {
    this.retry.succeeded();
    server.cuts = 0;
    server.told = '';
  }

  private contest(): string {
    return (
      `${CUTS_MAX} connections in a row were accepted and then ended by the broker: it looks as if another ` +
      `client with the same id (${this.clientId}) were there. Are group and node of this board configured ` +
      'on a second one? If not, the broker may forbid what this board does'
    );
  }

  private becomes(state: ServerFacts['state'], nowMs: number): void {
    const { server } = this;
    const { facts } = server;
    const isDown = facts.state === 'lost' || facts.state === 'trying';
    const goesOn = isDown && state !== 'connected';
    server.facts = { ...facts, state, sinceMs: goesOn ? facts.sinceMs : nowMs };
  }

  private get server(): Server {
    return this.servers[this.at] as Server;
  }
}

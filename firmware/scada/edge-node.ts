// One board as a Sparkplug B 3.0 edge node, as a state machine: no socket, no clock. It is told what
// the connection did and what the board is; it answers what to publish. The protected guest is a
// device that is born under whichever board leads, and dies there when it leads no more.
//
// The order the specification wants (chapters 5 and 6): connect with the death certificate as will,
// subscribe to commands, wait for the primary host if one is configured, birth of the node, birth of
// the device, data. `seq` counts every message since the birth, bdSeq ties a birth to its will.
//
// Caller's duties: one `connected` a CONNECT, each with a bdSeq one higher; actions in order.
import { Backlog } from './backlog.ts';
import { HostWatch } from './host-watch.ts';
import { decodePayload, encodePayload, type Metric, type TypeName } from './payload.ts';

/** A metric without its time: what the board says now. */
export interface Reading {
  readonly name: string;
  readonly type: TypeName;
  readonly value: Metric['value'];
}

/** The board at one moment. */
export interface Snapshot {
  readonly node: readonly Reading[];
  /** The guest, while this board leads. */
  readonly device: readonly Reading[] | undefined;
}

export interface Note {
  readonly wallMs: number;
  readonly text: string;
}

export type EdgeAction =
  | { readonly do: 'subscribe'; readonly topics: readonly string[] }
  | {
      readonly do: 'publish';
      readonly topic: string;
      readonly payload: Buffer;
      readonly qos: 0 | 1;
    }
  /** Tell `waited` after this long, if the connection still stands. */
  | { readonly do: 'wait'; readonly ms: number }
  /** In order, after what was published before. `walk`: to the next server of the list. */
  | { readonly do: 'disconnect'; readonly walk: boolean; readonly why: string };

export interface EdgeNodeOptions {
  readonly group: string;
  readonly node: string;
  readonly device: string;
  /** Wait for this host application to be online before a birth. */
  readonly primaryHost: string | undefined;
  /** Another server may have the primary host when this one has not. */
  readonly hasMoreServers: boolean;
  /** Events kept while the broker is away. */
  readonly backlogMax: number;
}

/** A primary host that says nothing on this server for so long is looked for on the next one. */
export const HOST_WAIT_MS = 5_000;

export type Phase = 'away' | 'subscribing' | 'waiting' | 'born';

export const NODE_REBIRTH = 'Node Control/Rebirth';
const LAST_EVENT = 'Events/Last';
/** Notes of the time away that go into one message. */
const NOTES_A_MESSAGE = 50;

export class EdgeNode {
  phase: Phase = 'away';
  readonly counters = { births: 0, rebirths: 0, ignored: 0 };

  private readonly options: EdgeNodeOptions;
  /** What the primary host has said on this connection. */
  private host: HostWatch | undefined;
  private readonly backlog: Backlog<Note>;
  private bdSeq = 0;
  private seq = 0;
  private snapshot: Snapshot = { node: [], device: undefined };
  private isDeviceBorn = false;
  /** A birth lists every metric, this one with the time it is of: it is no news then. */
  private lastEvent: Note | undefined;

  constructor(options: EdgeNodeOptions) {
    this.options = options;
    this.backlog = new Backlog(options.backlogMax);
  }

  /** Events that were too many to keep. */
  get notesLost(): number {
    return this.backlog.lost;
  }

  /** The will of the CONNECT that is about to be sent. */
  will(bdSeq: number, nowMs: number): { topic: string; payload: Buffer } {
    const metrics: Metric[] = [{ ...bdSeqOf(bdSeq), timestampMs: nowMs }];
    const payload = encodePayload({ timestampMs: nowMs, seq: undefined, metrics });
    return { topic: this.topic('NDEATH'), payload };
  }

  connected(bdSeq: number): EdgeAction[] {
    const { primaryHost } = this.options;
    this.bdSeq = bdSeq;
    this.phase = 'subscribing';
    this.host = primaryHost === undefined ? undefined : new HostWatch(primaryHost);
    const topics = [this.topic('NCMD')];
    if (this.host !== undefined) topics.push(this.host.topic);
    return [{ do: 'subscribe', topics }];
  }

  subscribed(nowMs: number): EdgeAction[] {
    if (this.phase !== 'subscribing') return [];
    this.phase = 'waiting';
    return this.followHost(nowMs);
  }

  /** The time of a `wait` is over. */
  waited(nowMs: number): EdgeAction[] {
    return this.phase === 'waiting' ? this.leave(nowMs, this.hostWords, true) : [];
  }

  disconnected(): void {
    this.phase = 'away';
    this.isDeviceBorn = false;
    this.host = undefined;
  }

  /** Why there is no birth although the broker is there; null: it is not that. */
  get waitsFor(): string | null {
    return this.phase === 'waiting' ? this.hostWords : null;
  }

  message(topic: string, bytes: Uint8Array, nowMs: number): EdgeAction[] {
    if (topic === this.host?.topic) {
      if (this.host.hear(bytes)) return this.followHost(nowMs);
      this.counters.ignored++;
      return [];
    }
    if (topic !== this.topic('NCMD') || !this.asksRebirth(bytes)) {
      this.counters.ignored++;
      return [];
    }
    if (this.phase !== 'born') return [];
    this.counters.rebirths++;
    return this.birth(nowMs);
  }

  /** The board as it is now: what changed goes out. */
  update(snapshot: Snapshot, nowMs: number): EdgeAction[] {
    const before = this.snapshot;
    this.snapshot = snapshot;
    if (this.phase !== 'born') return [];
    const isNew = snapshot.node.some(({ name }) => !before.node.some((one) => one.name === name));
    if (isNew) return this.birth(nowMs);
    const actions: EdgeAction[] = [];
    const changed = changes(before.node, snapshot.node);
    if (changed.length > 0) actions.push(this.say('NDATA', changed, nowMs));
    return [...actions, ...this.deviceFollows(before, nowMs)];
  }

  /** Something happened: at once, or when the broker is there again. */
  note(note: Note, nowMs: number): EdgeAction[] {
    this.lastEvent = note;
    if (this.phase !== 'born') {
      this.backlog.push(note);
      return [];
    }
    return [this.publish('NDATA', [eventMetric(note, false)], nowMs)];
  }

  /** An ordered end: DISCONNECT suppresses the will, so the death is said. */
  leave(nowMs: number, why: string, walk = false): EdgeAction[] {
    const actions: EdgeAction[] = [];
    if (this.phase !== 'away') {
      const { topic, payload } = this.will(this.bdSeq, nowMs);
      actions.push({ do: 'publish', topic, payload, qos: 0 });
    }
    actions.push({ do: 'disconnect', walk, why });
    this.disconnected();
    return actions;
  }

  /** Birth where the primary host is, on to the next server where it is not. */
  private followHost(nowMs: number): EdgeAction[] {
    const { phase, host } = this;
    const { hasMoreServers } = this.options;
    if (phase !== 'waiting' && phase !== 'born') return [];
    if (host === undefined || host.state === 'online')
      return phase === 'waiting' ? this.birth(nowMs) : [];
    if (phase === 'born') return this.leave(nowMs, host.words, true);
    if (!hasMoreServers) return [];
    if (host.state === 'offline') return this.leave(nowMs, host.words, true);
    return [{ do: 'wait', ms: HOST_WAIT_MS }];
  }

  private get hostWords(): string {
    return this.host?.words ?? '';
  }

  private asksRebirth(bytes: Uint8Array): boolean {
    const payload = decodePayload(bytes);
    return (
      payload?.metrics.some(({ name, value }) => name === NODE_REBIRTH && value === true) ?? false
    );
  }

  private birth(nowMs: number): EdgeAction[] {
    this.phase = 'born';
    this.counters.births++;
    this.seq = 0;
    this.isDeviceBorn = false;
    const control: Reading = { name: NODE_REBIRTH, type: 'boolean', value: false };
    const readings = [bdSeqOf(this.bdSeq), control, ...this.snapshot.node];
    const last = eventMetric(this.lastEvent ?? { wallMs: nowMs, text: '' }, false);
    const metrics = [...timed(readings, nowMs), last];
    const actions: EdgeAction[] = [this.publish('NBIRTH', metrics, nowMs)];
    if (this.snapshot.device !== undefined) actions.push(this.deviceBirth(nowMs));
    return [...actions, ...this.tellBacklog(nowMs)];
  }

  private deviceBirth(nowMs: number): EdgeAction {
    this.isDeviceBorn = true;
    return this.say('DBIRTH', this.snapshot.device ?? [], nowMs);
  }

  private deviceFollows(before: Snapshot, nowMs: number): EdgeAction[] {
    const { device } = this.snapshot;
    if (device === undefined) {
      if (!this.isDeviceBorn) return [];
      this.isDeviceBorn = false;
      return [this.say('DDEATH', [], nowMs)];
    }
    if (!this.isDeviceBorn) return [this.deviceBirth(nowMs)];
    const changed = changes(before.device ?? [], device);
    return changed.length > 0 ? [this.say('DDATA', changed, nowMs)] : [];
  }

  private tellBacklog(nowMs: number): EdgeAction[] {
    const notes = this.backlog.take();
    const actions: EdgeAction[] = [];
    for (let at = 0; at < notes.length; at += NOTES_A_MESSAGE) {
      const metrics = notes.slice(at, at + NOTES_A_MESSAGE).map((note) => eventMetric(note, true));
      actions.push(this.publish('NDATA', metrics, nowMs));
    }
    return actions;
  }

  private say(kind: Kind, readings: readonly Reading[], nowMs: number): EdgeAction {
    return this.publish(kind, timed(readings, nowMs), nowMs);
  }

  private publish(kind: Kind, metrics: readonly Metric[], nowMs: number): EdgeAction {
    const { seq } = this;
    this.seq = (seq + 1) % 256;
    const payload = encodePayload({ timestampMs: nowMs, seq, metrics });
    return { do: 'publish', topic: this.topic(kind), payload, qos: 0 };
  }

  private topic(kind: Kind | 'NDEATH' | 'NCMD'): string {
    const { group, node, device } = this.options;
    const path = `spBv1.0/${group}/${kind}/${node}`;
    return kind.startsWith('D') ? `${path}/${device}` : path;
  }
}

type Kind = 'NBIRTH' | 'NDATA' | 'DBIRTH' | 'DDATA' | 'DDEATH';

function bdSeqOf(bdSeq: number): Reading {
  return { name: 'bdSeq', type: 'int64', value: BigInt(bdSeq) };
}

function timed(readings: readonly Reading[], timestampMs: number): Metric[] {
  return readings.map((reading) => ({ ...reading, timestampMs }));
}

function eventMetric({ wallMs, text }: Note, isHistorical: boolean): Metric {
  return { name: LAST_EVENT, type: 'string', value: text, timestampMs: wallMs, isHistorical };
}

/** Readings that are not as before. */
function changes(before: readonly Reading[], now: readonly Reading[]): Reading[] {
  const old = new Map(before.map(({ name, value }) => [name, value]));
  return now.filter(({ name, value }) => old.get(name) !== value);
}

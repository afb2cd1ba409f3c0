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
  /** In order, after what was published before. `walk`: to the next server of the list. */
  | { readonly do: 'disconnect'; readonly walk: boolean; readonly why: string };

export interface EdgeNodeOptions {
  readonly group: string;
  readonly node: string;
  readonly device: string;
  /** Wait for this host application to be online before a birth. */
  readonly primaryHost: string | undefined;
  /** Events kept while the broker is away. */
  readonly backlogMax: number;
}

export type Phase = 'away' | 'subscribing' | 'waiting' | 'born';

export const NODE_REBIRTH = 'Node Control/Rebirth';
const LAST_EVENT = 'Events/Last';
/** Notes of the time away that go into one message. */
const NOTES_A_MESSAGE = 50;

export class EdgeNode {
  phase: Phase = 'away';
  readonly counters = { births: 0, rebirths: 0, ignored: 0 };

  private readonly options: EdgeNodeOptions;
  private readonly host: HostWatch | undefined;
  private readonly backlog: Backlog<Note>;
  private bdSeq = 0;
  private seq = 0;
  private snapshot: Snapshot = { node: [], device: undefined };
  private isDeviceBorn = false;
  /** Every metric ever said since the start: a birth lists them all. */
  private readonly lastEvent = { name: LAST_EVENT, type: 'string' as const, value: '' };

  constructor(options: EdgeNodeOptions) {
    this.options = options;
    const { primaryHost, backlogMax } = options;
    this.host = primaryHost === undefined ? undefined : new HostWatch(primaryHost);
    this.backlog = new Backlog(backlogMax);
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
    this.bdSeq = bdSeq;
    this.phase = 'subscribing';
    const topics = [this.topic('NCMD')];
    if (this.host !== undefined) topics.push(this.host.topic);
    return [{ do: 'subscribe', topics }];
  }

  subscribed(nowMs: number): EdgeAction[] {
    if (this.phase !== 'subscribing') return [];
    this.phase = 'waiting';
    return this.birthIfWanted(nowMs);
  }

  disconnected(): void {
    this.phase = 'away';
    this.isDeviceBorn = false;
  }

  message(topic: string, bytes: Uint8Array, nowMs: number): EdgeAction[] {
    if (topic === this.host?.topic) return this.hostSpoke(bytes, nowMs);
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
    this.lastEvent.value = note.text;
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

  private hostSpoke(bytes: Uint8Array, nowMs: number): EdgeAction[] {
    const host = this.host as HostWatch;
    if (!host.hear(bytes)) {
      this.counters.ignored++;
      return [];
    }
    if (host.isOnline) return this.phase === 'waiting' ? this.birthIfWanted(nowMs) : [];
    return this.phase === 'born' ? this.leave(nowMs, 'the primary host is offline', true) : [];
  }

  private asksRebirth(bytes: Uint8Array): boolean {
    const payload = decodePayload(bytes);
    return (
      payload?.metrics.some(({ name, value }) => name === NODE_REBIRTH && value === true) ?? false
    );
  }

  private birthIfWanted(nowMs: number): EdgeAction[] {
    return this.host === undefined || this.host.isOnline ? this.birth(nowMs) : [];
  }

  private birth(nowMs: number): EdgeAction[] {
    this.phase = 'born';
    this.counters.births++;
    this.seq = 0;
    this.isDeviceBorn = false;
    const control: Reading = { name: NODE_REBIRTH, type: 'boolean', value: false };
    const readings = [bdSeqOf(this.bdSeq), control, ...this.snapshot.node, this.lastEvent];
    const actions: EdgeAction[] = [this.say('NBIRTH', readings, nowMs)];
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
    const metrics = readings.map((reading) => ({ ...reading, timestampMs: nowMs }));
    return this.publish(kind, metrics, nowMs);
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

function eventMetric({ wallMs, text }: Note, isHistorical: boolean): Metric {
  return { name: LAST_EVENT, type: 'string', value: text, timestampMs: wallMs, isHistorical };
}

/** Readings that are not as before. */
function changes(before: readonly Reading[], now: readonly Reading[]): Reading[] {
  const old = new Map(before.map(({ name, value }) => [name, value]));
  return now.filter(({ name, value }) => old.get(name) !== value);
}

// One connection to one of several brokers, made again for ever. Each CONNECT has a will of its own,
// and nothing is queued by the library: what to say after a connect is decided anew each time. All that
// belongs to one connection is in one object; what comes late from an earlier one finds nobody.
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import type { ScadaConfig } from '../board/config/scada-types.ts';
import type { TellerReport } from '../board/scada-desk.ts';
import { secretLineOf } from '../host/brought-file.ts';
import { open, readNamed, serverText, words } from './connector.ts';
import { type Ending, ServerWalk } from './server-walk.ts';

export interface Will {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1;
  readonly retain: boolean;
}

export interface LinkHandler {
  /** A CONNECT will be sent now: its will. May throw; then this attempt has failed. */
  will(): Will;
  connected(): void;
  message(topic: string, payload: Buffer): void;
  closed(): void;
}

export interface LinkOptions {
  readonly config: ScadaConfig;
  readonly clientId: string;
  readonly handler: LinkHandler;
  /** For people: what failed, what came back; the same trouble of a server once. */
  readonly onNotice: (text: string) => void;
}

/** A broker that takes nothing while so much waits is as good as dead. */
const UNSENT_BYTES_MAX = 1 << 20;
/** An ordered end that takes longer is a cut. */
const END_MS = 2_000;
const ACCEPT_MS = 10_000;

export interface PublishOptions {
  readonly qos: 0 | 1;
  readonly retain: boolean;
  /** What it is, for people. */
  readonly what: string;
}

export type LinkReport = Omit<TellerReport, 'what' | 'births' | 'unsaved'>;

/** A report is one line of the control socket, whatever went wrong at every server. */
const TROUBLE_LETTERS = 200;

interface Connection {
  readonly client: MqttClient;
  readonly socket: Socket;
  isAccepted: boolean;
  /** Why it ends, once that is known. */
  ending: Ending | undefined;
}

export class BrokerLink {
  private readonly options: LinkOptions;
  private readonly walk: ServerWalk;
  private connection: Connection | undefined;
  private sent: { readonly what: string; readonly atMs: number } | null = null;
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;

  constructor(options: LinkOptions) {
    this.options = options;
    const { config, clientId } = options;
    this.walk = new ServerWalk(config.servers.map(serverText), clientId, performance.now());
  }

  /** What of a report the link knows; `waitsFor`: why nothing is told although it is connected. */
  report(told: { readonly isTold: boolean; readonly waitsFor: string | null }): LinkReport {
    const { walk, options, sent } = this;
    const nowMs = performance.now();
    const ago = (atMs: number) => Math.max(0, Math.round(nowMs - atMs));
    const servers = walk.facts.map(({ url, state, sinceMs, connects, trouble }) => ({
      ...{ url, state, forMs: ago(sinceMs), connects },
      trouble:
        trouble === null
          ? null
          : { text: trouble.text.slice(0, TROUBLE_LETTERS), agoMs: ago(trouble.atMs) },
    }));
    const isWell = told.isTold && !walk.isContested;
    return {
      ...{ clientId: options.clientId, isTold: told.isTold, at: walk.index, servers },
      why: isWell ? null : (told.waitsFor ?? walk.lastTrouble),
      sent: sent === null ? null : { what: sent.what, agoMs: ago(sent.atMs) },
    };
  }

  start(): void {
    void this.attempt();
  }

  publish(topic: string, payload: Buffer, { qos, retain, what }: PublishOptions): void {
    const { connection } = this;
    if (connection?.isAccepted !== true) return;
    this.sent = { what, atMs: performance.now() };
    connection.client.publish(topic, payload, { qos, retain }, () => {});
    if (connection.socket.writableLength > UNSENT_BYTES_MAX)
      this.cut(connection, { how: 'failed', why: 'it takes nothing any more' });
  }

  /** True when the broker has granted all of them. A refusal ends the connection. */
  async subscribe(topics: readonly string[]): Promise<boolean> {
    const { connection } = this;
    if (connection === undefined) return false;
    const why = await subscribed(connection.client, topics);
    if (connection !== this.connection || connection.ending !== undefined) return false;
    if (why !== null) this.end(connection, { how: 'failed', why });
    return why === null;
  }

  /** What the connection is for has begun. */
  settled(): void {
    this.walk.settled();
  }

  /** In order, behind what was published; then the next attempt, at this server or the next. */
  leave(walk: boolean, why: string): void {
    if (this.connection !== undefined) this.end(this.connection, { how: 'left', walk, why });
  }

  /** Ends for good, in the middle of whatever it was. */
  sever(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
    this.connection?.socket.destroy();
  }

  /** Ends for good. */
  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    const { connection } = this;
    if (connection === undefined) return;
    const cut = setTimeout(() => connection.socket.destroy(), END_MS);
    await connection.client.endAsync().catch(() => {});
    clearTimeout(cut);
  }

  private async attempt(): Promise<void> {
    const { servers, tls } = this.options.config;
    this.walk.begin(performance.now());
    try {
      const socket = await open(servers[this.walk.index]!, tls);
      if (this.isStopped) socket.destroy();
      else this.talk(socket);
    } catch (error) {
      this.next({ how: 'failed', why: words(error as Error) });
    }
  }

  private talk(socket: Socket): void {
    const { handler, onNotice } = this.options;
    let client: MqttClient;
    try {
      // The will last: it uses up a number that belongs to a CONNECT.
      const options = this.clientOptions();
      client = new mqtt.MqttClient(() => socket, { ...options, will: handler.will() });
    } catch (error) {
      socket.destroy();
      throw error;
    }
    const connection: Connection = { client, socket, isAccepted: false, ending: undefined };
    this.connection = connection;
    const isPresent = () => this.connection === connection;
    client.on('connect', () => {
      if (!isPresent()) return;
      connection.isAccepted = true;
      const notice = this.walk.accepted(performance.now());
      if (notice !== null) onNotice(notice);
      handler.connected();
    });
    client.on('message', (topic, payload) => {
      if (isPresent()) handler.message(topic, payload);
    });
    client.on('error', (error) => this.cut(connection, endingOf(error, connection.isAccepted)));
    client.once('close', () => {
      client.end(true);
      if (!isPresent()) return;
      this.connection = undefined;
      handler.closed();
      const { ending, isAccepted } = connection;
      const silent = {
        how: 'failed',
        why: 'the broker hung up without a word on CONNECT',
      } as const;
      this.next(ending ?? (isAccepted ? { how: 'cut', why: 'the broker hung up' } : silent));
    });
  }

  private end(connection: Connection, ending: Ending): void {
    connection.ending ??= ending;
    connection.client.end(false);
    const cut = setTimeout(() => connection.socket.destroy(), END_MS);
    connection.client.once('close', () => clearTimeout(cut));
  }

  private cut(connection: Connection, ending: Ending): void {
    connection.ending ??= ending;
    connection.socket.destroy();
  }

  private clientOptions(): IClientOptions {
    const { config, clientId } = this.options;
    const { login, keepaliveS } = config;
    return {
      clientId,
      clean: true,
      protocolVersion: 4,
      keepalive: keepaliveS,
      connectTimeout: ACCEPT_MS,
      reconnectPeriod: 0,
      queueQoSZero: false,
      resubscribe: false,
      ...(login === undefined
        ? {}
        : {
            username: login.username,
            password: secretLineOf(readNamed(login.passwordFile)),
          }),
    };
  }

  private next(ending: Ending): void {
    if (this.isStopped) return;
    const random = randomBytes(4).readUInt32LE() / 2 ** 32;
    const { pauseMs, notice } = this.walk.ended(ending, performance.now(), random);
    if (notice !== null) this.options.onNotice(notice);
    this.timer = setTimeout(() => void this.attempt(), pauseMs);
  }
}

/** What a socket says when the other side has closed it. */
const CLOSED_THERE = new Set(['ECONNRESET', 'EPIPE']);

function endingOf(error: Error, isAccepted: boolean): Ending {
  const isCut = isAccepted && CLOSED_THERE.has((error as NodeJS.ErrnoException).code ?? '');
  // Only the parser of packets has errors without any code.
  const isGarbage = !isAccepted && !('code' in error) && words(error) === error.message;
  const why = isGarbage
    ? `what answers there does not speak MQTT (${error.message})`
    : words(error);
  return { how: isCut ? 'cut' : 'failed', why };
}

/** Null, or why not. */
async function subscribed(client: MqttClient, topics: readonly string[]): Promise<string | null> {
  try {
    const granted = await client.subscribeAsync([...topics], { qos: 1 });
    const refused = granted.find(({ qos }) => qos === 128);
    return refused === undefined ? null : `it refuses to let ${refused.topic} be subscribed`;
  } catch (error) {
    return `it refuses to let ${topics.join(', ')} be subscribed: ${words(error as Error)}`;
  }
}

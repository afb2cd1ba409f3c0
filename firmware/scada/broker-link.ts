// One connection to one of several brokers, made again for ever. Each CONNECT has a will of its own,
// and nothing is queued by the library: what to say after a connect is decided anew each time.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { open, serverText, words } from './connector.ts';
import { Retry } from './retry.ts';
import type { ScadaConfig } from './types.ts';

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
  /** For people: what failed, what came back; the same trouble once. */
  readonly onNotice: (text: string) => void;
}

/** A broker that takes nothing while so much waits is as good as dead. */
const UNSENT_BYTES_MAX = 1 << 20;
/** Messages from a broker beyond this are refused by the connection's end. */
const END_MS = 2_000;

export class BrokerLink {
  private readonly options: LinkOptions;
  private readonly retry = new Retry();
  private client: MqttClient | undefined;
  private socket: Socket | undefined;
  private timer: NodeJS.Timeout | undefined;
  private serverAt = 0;
  private trouble = '';
  private isStopped = false;

  constructor(options: LinkOptions) {
    this.options = options;
  }

  start(): void {
    void this.attempt();
  }

  get server(): string {
    const { servers } = this.options.config;
    return serverText(servers[this.serverAt % servers.length]!);
  }

  publish(topic: string, payload: Buffer, options: { qos: 0 | 1; retain: boolean }): void {
    const { client, socket } = this;
    if (client === undefined || socket === undefined) return;
    client.publish(topic, payload, options, () => {});
    if (socket.writableLength > UNSENT_BYTES_MAX)
      socket.destroy(new Error('it takes nothing any more'));
  }

  /** Answers when the broker has granted all of them; a refusal ends the connection. */
  async subscribe(topics: readonly string[]): Promise<void> {
    const { client } = this;
    if (client === undefined) return;
    const granted = await client.subscribeAsync([...topics], { qos: 1 });
    const refused = granted.find(({ qos }) => qos === 128);
    if (refused !== undefined) throw new Error(`the broker refuses to subscribe ${refused.topic}`);
  }

  /** In order, behind what was published; then the next attempt, at this server or the next. */
  disconnect(walk: boolean): void {
    const { client } = this;
    if (walk) this.serverAt++;
    client?.end(false);
  }

  /** Ends for good, in the middle of whatever it was. */
  sever(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
    this.socket?.destroy();
  }

  /** Ends for good. */
  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    const { client, socket } = this;
    if (client === undefined) return;
    const cut = setTimeout(() => socket?.destroy(), END_MS);
    await client.endAsync().catch(() => {});
    clearTimeout(cut);
  }

  private async attempt(): Promise<void> {
    const { servers, tls } = this.options.config;
    try {
      const socket = await open(servers[this.serverAt % servers.length]!, tls);
      if (this.isStopped) socket.destroy();
      else this.talk(socket);
    } catch (error) {
      this.failed((error as Error).message);
    }
  }

  private talk(socket: Socket): void {
    const { handler } = this.options;
    let client: MqttClient;
    try {
      client = new mqtt.MqttClient(() => socket, this.clientOptions(handler.will()));
    } catch (error) {
      socket.destroy();
      this.failed(words(error as Error));
      return;
    }
    this.client = client;
    this.socket = socket;
    let why = 'the broker hung up';
    client.on('connect', () => {
      this.retry.succeeded();
      if (this.trouble !== '') this.options.onNotice(`connected to ${this.server}`);
      this.trouble = '';
      handler.connected();
    });
    client.on('message', (topic, payload) => handler.message(topic, payload));
    client.on('error', (error) => {
      why = words(error);
      socket.destroy();
    });
    client.once('close', () => {
      client.end(true);
      this.client = undefined;
      this.socket = undefined;
      handler.closed();
      this.failed(`${this.server}: ${why}`);
    });
  }

  private clientOptions(will: Will): IClientOptions {
    const { config, clientId } = this.options;
    const { login, keepaliveS } = config;
    return {
      clientId,
      clean: true,
      protocolVersion: 4,
      keepalive: keepaliveS,
      reconnectPeriod: 0,
      queueQoSZero: false,
      resubscribe: false,
      will,
      ...(login === undefined
        ? {}
        : { username: login.username, password: readFileSync(login.passwordFile, 'utf8').trim() }),
    };
  }

  private failed(why: string): void {
    if (this.isStopped) return;
    if (why !== this.trouble) this.options.onNotice(why);
    this.trouble = why;
    if (this.options.config.servers.length > 1) this.serverAt++;
    const random = randomBytes(4).readUInt32LE() / 2 ** 32;
    this.timer = setTimeout(() => void this.attempt(), this.retry.nextMs(random));
  }
}

// For hosts without Sparkplug: one retained topic with the status as plain JSON, and a last will that
// says `offline`. It is said again and again, with its time: a retained word can outlive everybody who could
// take it back. With it, if wanted, what Home Assistant needs to find it.
import type { ScadaConfig } from '../board/config/scada-types.ts';
import type { TellerReport } from '../board/scada-desk.ts';
import type { Status } from '../board/status.ts';
import type { Teller } from './agent.ts';
import { BrokerLink } from './broker-link.ts';
import type { Note, Snapshot } from './edge-node.ts';
import { introduce } from './home-assistant.ts';
import { clientId } from './ids.ts';
import { offline, type PlainStatus, shown, unreachable } from './plain-status.ts';
import { whyOf } from './snapshot.ts';

export interface PlainOptions {
  readonly config: ScadaConfig;
  readonly topic: string;
  readonly firmware: string;
  /** UTC, milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly onNotice: (text: string) => void;
  /** Said again after this long without news. */
  readonly repeatMs?: number;
}

export const REPEAT_MS = 10_000;
const RETAINED = { qos: 1, retain: true } as const;
const STATUS = { ...RETAINED, what: 'status' } as const;

export class PlainTopic implements Teller {
  private readonly options: PlainOptions;
  private readonly link: BrokerLink;
  private readonly repeatMs: number;
  private latest: PlainStatus | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isConnected = false;
  private connects = 0;

  constructor(options: PlainOptions) {
    this.options = options;
    this.repeatMs = options.repeatMs ?? REPEAT_MS;
    const { config, topic, onNotice } = options;
    this.link = new BrokerLink({
      config,
      clientId: clientId(config, 'status'),
      onNotice,
      handler: {
        will: () => ({ topic, payload: this.bytesOf(offline('its agent is gone')), ...RETAINED }),
        connected: () => this.connected(),
        message: () => {},
        closed: () => {
          clearInterval(this.timer);
          this.isConnected = false;
        },
      },
    });
  }

  start(): void {
    this.link.start();
  }

  /** Undefined: the board does not answer, and what it was is not repeated as if it still were. */
  update(snapshot: Snapshot, status: Status | undefined): void {
    const said = status === undefined ? unreachable(whyOf(snapshot)) : shown(status);
    if (JSON.stringify(said) === JSON.stringify(this.latest)) return;
    this.latest = said;
    this.say();
  }

  note(_note: Note): void {}

  async stop(why: string): Promise<void> {
    clearInterval(this.timer);
    this.link.publish(this.options.topic, this.bytesOf(offline(why)), STATUS);
    await this.link.stop();
  }

  report(): TellerReport {
    const { isConnected, connects } = this;
    return {
      ...this.link.report({ isTold: isConnected, waitsFor: null }),
      ...{ what: 'status topic', births: connects, unsaved: null },
    };
  }

  private connected(): void {
    this.isConnected = true;
    this.connects += 1;
    this.timer = setInterval(() => this.say(), this.repeatMs);
    this.say();
    if (this.options.config.homeAssistant) this.introduce();
  }

  private say(): void {
    if (!this.isConnected || this.latest === undefined) return;
    this.link.publish(this.options.topic, this.bytesOf(this.latest), STATUS);
  }

  private introduce(): void {
    const { config, topic: statusTopic, firmware } = this.options;
    const { group, node } = config;
    const { repeatMs } = this;
    const { topic, payload } = introduce({ group, node, statusTopic, firmware, repeatMs });
    const bytes = Buffer.from(JSON.stringify(payload));
    this.link.publish(topic, bytes, { ...RETAINED, what: 'discovery' });
  }

  private bytesOf(said: PlainStatus): Buffer {
    return Buffer.from(JSON.stringify({ ...said, atMs: this.options.wallMs() }));
  }
}

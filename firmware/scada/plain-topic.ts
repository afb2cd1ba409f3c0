// For hosts without Sparkplug: one retained topic with the status as plain JSON, and a last will that
// says `offline`. With it, if wanted, what Home Assistant needs to find it (its MQTT discovery).

import type { ScadaConfig } from '../board/config/scada-types.ts';
import { roleWord } from '../board/role-words.ts';
import type { Status } from '../board/status.ts';
import type { Teller } from './agent.ts';
import { BrokerLink } from './broker-link.ts';
import type { Note, Snapshot } from './edge-node.ts';
import { clientId, deviceId } from './ids.ts';

export interface PlainOptions {
  readonly config: ScadaConfig;
  readonly topic: string;
  readonly firmware: string;
  readonly onNotice: (text: string) => void;
}

const RETAINED = { qos: 1, retain: true } as const;
const OFFLINE = Buffer.from(JSON.stringify({ online: false }));

export class PlainTopic implements Teller {
  private readonly options: PlainOptions;
  private readonly link: BrokerLink;
  private latest: Buffer | undefined;
  private isConnected = false;

  constructor(options: PlainOptions) {
    this.options = options;
    const { config, topic, onNotice } = options;
    this.link = new BrokerLink({
      config,
      clientId: clientId(config, 'status'),
      onNotice,
      handler: {
        will: () => ({ topic, payload: OFFLINE, ...RETAINED }),
        connected: () => this.connected(),
        message: () => {},
        closed: () => {
          this.isConnected = false;
        },
      },
    });
  }

  start(): void {
    this.link.start();
  }

  /** Undefined: the board does not answer, and what it was is not repeated as if it still were. */
  update(_snapshot: Snapshot, status: Status | undefined): void {
    const said =
      status === undefined
        ? { online: true, reachable: false }
        : { online: true, ...short(status) };
    const bytes = Buffer.from(JSON.stringify(said));
    if (this.latest?.equals(bytes)) return;
    this.latest = bytes;
    if (this.isConnected) this.link.publish(this.options.topic, bytes, RETAINED);
  }

  note(_note: Note): void {}

  async stop(): Promise<void> {
    if (this.isConnected) this.link.publish(this.options.topic, OFFLINE, RETAINED);
    await this.link.stop();
  }

  private connected(): void {
    this.isConnected = true;
    if (this.latest !== undefined) this.link.publish(this.options.topic, this.latest, RETAINED);
    if (this.options.config.homeAssistant) this.introduce();
  }

  private introduce(): void {
    const { config, topic, firmware } = this.options;
    const id = deviceId(config);
    const payload = Buffer.from(JSON.stringify(discovery(id, config.node, topic, firmware)));
    this.link.publish(`homeassistant/device/${id}/config`, payload, RETAINED);
  }
}

function short(status: Status) {
  const { board, role, pairState, why, generation, safeToRemove, lagMs, sync } = status;
  return {
    reachable: true,
    ...{ name: board.name, side: board.side, role: roleWord(role), arbiterRole: role },
    ...{ pairState, why, generation },
    redundant: pairState === 'RUN-Redundant',
    healthy: status.health.ok,
    safeToRemove: safeToRemove.ok,
    safeToRemoveWhy: safeToRemove.why,
    lagMs: lagMs === null ? null : Math.round(lagMs),
    syncPercent: Math.round(sync.percent),
  };
}

/** One device with its sensors (Home Assistant, "MQTT discovery", device payload). */
function discovery(id: string, name: string, topic: string, firmware: string) {
  const sensor = (key: string, words: string, platform = 'sensor', more: object = {}) => [
    key,
    {
      p: platform,
      unique_id: `${id}_${key}`,
      name: words,
      value_template: `{{ value_json.${key} }}`,
      ...more,
    },
  ];
  const binary = { payload_on: 'True', payload_off: 'False' };
  return {
    dev: { ids: [id], name: `Twinstep ${name}`, sw: firmware },
    o: { name: 'twinstep', sw: firmware },
    cmps: Object.fromEntries([
      sensor('role', 'Role'),
      sensor('pairState', 'Pair state'),
      sensor('redundant', 'Redundant', 'binary_sensor', binary),
      sensor('safeToRemove', 'Safe to remove', 'binary_sensor', binary),
    ]),
    state_topic: topic,
    qos: 1,
  };
}

// A host application on a broker: everything it hears, and waits for what comes.
import mqtt, { type MqttClient } from 'mqtt';
import { decodePayload, type Payload } from '../../firmware/scada/payload.ts';

/** What came, and a wait for what comes. */
export class Awaited<T> {
  readonly all: T[] = [];
  private wake: (() => void) | undefined;

  add(one: T): void {
    this.all.push(one);
    this.wake?.();
  }

  async until(found: (one: T) => boolean, after = 0): Promise<T> {
    for (;;) {
      const one = this.all.slice(after).find(found);
      if (one !== undefined) return one;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}

export interface Heard {
  readonly kind: string;
  readonly node: string;
  readonly payload: Payload;
}

export interface Broker {
  readonly address?: string;
  readonly port: number;
}

/** A host application. */
export class Host {
  readonly heard = new Awaited<Heard>();
  readonly client: MqttClient;

  static async connect(broker: Broker, options: object = {}): Promise<Host> {
    const { address = '127.0.0.1', port } = broker;
    const client = await mqtt.connectAsync(`mqtt://${address}:${port}`, {
      ...{ reconnectPeriod: 50, ...options },
    });
    const host = new Host(client);
    await client.subscribeAsync('spBv1.0/#', { qos: 1 });
    return host;
  }

  private constructor(client: MqttClient) {
    this.client = client;
    client.on('message', (topic, bytes) => {
      const payload = decodePayload(bytes);
      const [, , kind = '', node = ''] = topic.split('/');
      if (payload) this.heard.add({ kind, node, payload });
    });
  }

  kind(kind: string, after = 0): Promise<Heard> {
    return this.heard.until((one) => one.kind === kind, after);
  }

  /** The newest value of a metric of a node; nothing from before its last birth or death is believed. */
  value(node: string, name: string): unknown {
    for (const heard of this.heard.all.toReversed()) {
      if (heard.node === node && heard.kind === 'NDEATH') return undefined;
      const metric = heard.payload.metrics.find((one) => one.name === name && !one.isHistorical);
      if (heard.node === node && metric !== undefined) return metric.value;
      if (heard.node === node && heard.kind === 'NBIRTH') return undefined;
    }
    return undefined;
  }

  /** Waits until it says so. */
  async says(node: string, name: string, value: unknown): Promise<void> {
    while (this.value(node, name) !== value) {
      const seen = this.heard.all.length;
      await this.heard.until(() => true, seen);
    }
  }
}

export const bdSeqOf = ({ payload }: Heard) =>
  Number(payload.metrics.find(({ name }) => name === 'bdSeq')?.value);

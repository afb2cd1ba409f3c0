// Home Assistant as far as MQTT discovery goes, written down from its own rules (components/mqtt: schemas,
// entity, sensor, binary_sensor) and knowing nothing of our code: which entities a device payload makes,
// when each is available, and which state it shows.
import mqtt, { type MqttClient } from 'mqtt';
import { Awaited, type Broker } from './host.ts';
import { render, TemplateError } from './jinja.ts';

type Config = Readonly<Record<string, unknown>>;

/** Options a device shares with its components. */
const SHARED = [
  ...['availability', 'availability_mode', 'availability_template', 'availability_topic'],
  ...['command_topic', 'payload_available', 'payload_not_available', 'state_topic'],
] as const;
const ABBREVIATIONS: Readonly<Record<string, string>> = {
  ...{ dev: 'device', o: 'origin', cmps: 'components', p: 'platform', ids: 'identifiers' },
  ...{ sw: 'sw_version', avty: 'availability', avty_t: 'availability_topic', t: 'topic' },
  ...{ avty_mode: 'availability_mode', avty_tpl: 'availability_template', stat_t: 'state_topic' },
  ...{ val_tpl: 'value_template', uniq_id: 'unique_id', exp_aft: 'expire_after' },
  ...{ pl_on: 'payload_on', pl_off: 'payload_off', pl_avail: 'payload_available' },
  ...{ pl_not_avail: 'payload_not_available' },
};
const CONFIG_TOPIC = /^homeassistant\/device\/(?:[a-zA-Z0-9_-]+\/)?[a-zA-Z0-9_-]+\/config$/;

interface Watched {
  readonly template: string | undefined;
  readonly available: string;
  readonly notAvailable: string;
  isAvailable: boolean;
}

/** One entity. */
class Entity {
  readonly id: string;
  private readonly config: Config;
  /** By topic, as Home Assistant keeps them: a second entry of one topic replaces the first. */
  private readonly watched = new Map<string, Watched>();
  private latest = false;
  private value: string | null = null;
  private expiresMs: number | null;

  constructor(config: Config) {
    this.config = config;
    this.id = String(config.unique_id);
    // Until its first word an entity that can expire has expired.
    this.expiresMs = this.expireAfterMs === null ? null : Number.NEGATIVE_INFINITY;
    const list = (config.availability ?? []) as readonly Config[];
    const single = config.availability_topic;
    if (single !== undefined && list.length > 0) throw new Error('two ways of availability');
    if (single !== undefined) this.watch(String(single), config, config.availability_template);
    for (const one of list) this.watch(String(one.topic), one, one.value_template);
  }

  get topics(): string[] {
    return [...new Set([...this.watched.keys(), String(this.config.state_topic)])];
  }

  take(topic: string, payload: string, nowMs: number): void {
    if (topic === this.config.state_topic) this.takeState(payload, nowMs);
    const watched = this.watched.get(topic);
    if (watched === undefined) return;
    const word = this.rendered(watched.template, payload);
    if (word !== watched.available && word !== watched.notAvailable) return;
    watched.isAvailable = word === watched.available;
    this.latest = watched.isAvailable;
  }

  /** As the user sees it. */
  state(nowMs: number, isConnected: boolean): string {
    if (!isConnected || !this.isAvailable) return 'unavailable';
    if (this.expiresMs !== null && nowMs >= this.expiresMs) return 'unavailable';
    return this.value ?? 'unknown';
  }

  private get isAvailable(): boolean {
    const each = [...this.watched.values()].map(({ isAvailable }) => isAvailable);
    if (each.length === 0) return true;
    const mode = this.config.availability_mode ?? 'latest';
    if (mode === 'all') return each.every(Boolean);
    return mode === 'any' ? each.some(Boolean) : this.latest;
  }

  private get expireAfterMs(): number | null {
    const seconds = Number(this.config.expire_after ?? 0);
    return seconds > 0 ? seconds * 1_000 : null;
  }

  private watch(topic: string, options: Config, template: unknown): void {
    this.watched.set(topic, {
      template: template === undefined ? undefined : String(template),
      available: String(options.payload_available ?? 'online'),
      notAvailable: String(options.payload_not_available ?? 'offline'),
      isAvailable: false,
    });
  }

  private takeState(payload: string, nowMs: number): void {
    const { expireAfterMs, config } = this;
    if (expireAfterMs !== null) this.expiresMs = nowMs + expireAfterMs;
    const text = this.rendered(config.value_template as string | undefined, payload);
    // Nothing comes out of the template: the value stays what it was.
    if (text === undefined || text.trim() === '') return;
    if (text === 'None') this.value = null;
    else if (config.platform === 'sensor') this.value = text;
    else if (text === (config.payload_on ?? 'ON')) this.value = 'on';
    else if (text === (config.payload_off ?? 'OFF')) this.value = 'off';
  }

  /** Undefined: the template fails, and the message says nothing. */
  private rendered(template: string | undefined, payload: string): string | undefined {
    if (template === undefined) return payload;
    const scope: Record<string, unknown> = { value: payload };
    try {
      scope.value_json = JSON.parse(payload);
    } catch {
      // Then there is none.
    }
    try {
      return render(template, scope).trim();
    } catch (error) {
      if (error instanceof TemplateError) return undefined;
      throw error;
    }
  }
}

/** Every device and entity that was discovered, and what a user would see of them. */
export class Hass {
  readonly changes = new Awaited<string>();
  readonly entities = new Map<string, Entity>();
  isConnected = true;
  private readonly nowMs: () => number;
  /** What the broker keeps: an entity hears it as soon as it is there. */
  private readonly retained = new Map<string, string>();

  constructor(nowMs: () => number = () => performance.now()) {
    this.nowMs = nowMs;
  }

  take(topic: string, payload: string): void {
    if (topic.startsWith('homeassistant/')) this.discover(topic, payload);
    else {
      this.retained.set(topic, payload);
      for (const entity of this.entities.values()) entity.take(topic, payload, this.nowMs());
    }
    this.changes.add(`${topic} ${payload}`);
  }

  /** Of the entity whose id ends so. */
  state(key: string): string | undefined {
    const found = [...this.entities.values()].find(({ id }) => id.endsWith(`_${key}`));
    return found?.state(this.nowMs(), this.isConnected);
  }

  states(): Record<string, string> {
    const each = [...this.entities.values()];
    return Object.fromEntries(
      each.map((one) => [one.id, one.state(this.nowMs(), this.isConnected)]),
    );
  }

  private discover(topic: string, payload: string): void {
    if (!CONFIG_TOPIC.test(topic)) throw new Error(`${topic} is not looked at`);
    const device = long(JSON.parse(payload)) as Config;
    const components = device.components as Readonly<Record<string, Config>>;
    const { identifiers = [] } = device.device as { identifiers?: string[] };
    if (identifiers.length === 0) throw new Error('a device needs an identifier');
    if ((device.origin as Config)?.name === undefined) throw new Error('the origin needs a name');
    for (const component of Object.values(components)) {
      const shared = SHARED.filter((option) => option in device && !(option in component));
      const config = Object.fromEntries(shared.map((option) => [option, device[option]]));
      this.add(new Entity({ ...config, ...component }));
    }
  }

  private add(entity: Entity): void {
    this.entities.set(entity.id, entity);
    for (const topic of entity.topics) {
      const payload = this.retained.get(topic);
      if (payload !== undefined) entity.take(topic, payload, this.nowMs());
    }
  }
}

/** One on a broker. */
export async function hassOn(broker: Broker): Promise<{ hass: Hass; client: MqttClient }> {
  const hass = new Hass();
  const { address = '127.0.0.1', port } = broker;
  const client = await mqtt.connectAsync(`mqtt://${address}:${port}`, { reconnectPeriod: 50 });
  client.on('message', (topic, bytes) => hass.take(topic, bytes.toString()));
  client.on('connect', () => {
    hass.isConnected = true;
  });
  client.on('close', () => {
    hass.isConnected = false;
  });
  await client.subscribeAsync(['homeassistant/#', 'plain/#'], { qos: 1 });
  return { hass, client };
}

/** Abbreviated keys written out, at every depth. */
function long(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(long);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [ABBREVIATIONS[key] ?? key, long(inner)]),
  );
}

// What SCADA sees of a twin: a broker on the plant LAN (Debian's mosquitto, or one of npm where that is not
// installed), and a host application that writes down what each board's agent tells, and when.
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { Aedes } from 'aedes';
import type { BoardEvent } from '../../firmware/board/events.ts';
import { type Broker, type Heard, Host } from '../scada/host.ts';
import { hasMosquitto, Mosquitto } from '../scada/mosquitto.ts';
import { CLIENT_IP, SIDES, type Side } from './network.ts';

/** A state that was told, and how long after the board's own word. */
interface Told {
  readonly state: string;
  readonly afterMs: number;
}

const STATE = 'Pair/State';
const LEVEL = 'Board/Service Level';
const REACHABLE = 'Board/Reachable';
const KINDS: Readonly<Record<string, string>> = {
  NBIRTH: 'is there',
  NDEATH: 'is gone',
  DBIRTH: 'has the guest',
  DDEATH: 'has not the guest any more',
};

export class PlantScada {
  /** Called with every change, for people. */
  onTold: (words: string) => void = () => {};
  readonly told: Told[] = [];
  readonly counts = { NBIRTH: 0, NDEATH: 0, DBIRTH: 0, DDEATH: 0 };
  readonly brokerName: string;
  readonly url: string;
  private readonly broker: Broker & { close(): Promise<void> };
  private readonly host: Host;
  private readonly shown = new Map<string, string>();
  private readonly expected = new Map<string, { state: string; atMs: number }[]>();

  /** On the plant LAN, which must exist. */
  static async start(): Promise<PlantScada> {
    const broker = hasMosquitto.met
      ? await Mosquitto.start({ address: CLIENT_IP })
      : await NpmBroker.start(CLIENT_IP);
    return new PlantScada(broker, await Host.connect(broker));
  }

  private constructor(broker: PlantScada['broker'], host: Host) {
    this.broker = broker;
    this.host = host;
    this.brokerName = broker instanceof Mosquitto ? 'mosquitto' : 'aedes';
    this.url = `mqtt://${CLIENT_IP}:${broker.port}`;
    host.client.on('message', () => this.hear(host.heard.all.at(-1)));
  }

  /** What a board said of itself on its control socket: SCADA owes the same. */
  event(side: Side, { code, data }: BoardEvent): void {
    if (code !== 'PAIR-STATE' || typeof data.to !== 'string') return;
    const node = `plant-${side}`;
    if (this.host.value(node, STATE) === data.to) this.told.push({ state: data.to, afterMs: 0 });
    else this.owed(node).push({ state: data.to, atMs: performance.now() });
  }

  /** Changes of state that boards told and SCADA does not show. */
  get unpaid(): string[] {
    return SIDES.flatMap((side) => {
      const owed = this.owed(`plant-${side}`).at(-1);
      return owed === undefined ? [] : [`SCADA does not know that plant-${side} is ${owed.state}`];
    });
  }

  /** What SCADA shows of a board now. */
  state(side: Side): unknown {
    return this.host.value(`plant-${side}`, STATE);
  }

  async says(side: Side, state: string): Promise<void> {
    await this.host.says(`plant-${side}`, STATE, state);
  }

  async close(): Promise<void> {
    await this.host.client.endAsync(true);
    await this.broker.close();
  }

  private hear(heard: Heard | undefined): void {
    if (heard === undefined) return;
    const { kind, node } = heard;
    if (kind in this.counts) this.counts[kind as keyof PlantScada['counts']]++;
    const state = kind === 'NDEATH' ? null : this.host.value(node, STATE);
    if (typeof state === 'string') this.arrived(node, state);
    // Who is gone or does not answer is shown as that.
    else this.owed(node).length = 0;
    const words = this.wordsOf(node, kind);
    const isNew = words !== this.shown.get(node);
    this.shown.set(node, words);
    if (kind in KINDS)
      this.onTold(`${node} ${KINDS[kind]}${kind === 'NBIRTH' ? `, ${words}` : ''}`);
    else if (isNew) this.onTold(`${node} ${words}`);
  }

  private wordsOf(node: string, kind: string): string {
    if (kind === 'NDEATH') return 'is gone';
    if (this.host.value(node, REACHABLE) === false) return 'does not answer';
    return `${this.host.value(node, STATE)}, service level ${this.host.value(node, LEVEL)}`;
  }

  /** The state told now answers the newest word of the board that is the same, and all before it. */
  private arrived(node: string, state: string): void {
    const owed = this.owed(node);
    const at = owed.findLastIndex((one) => one.state === state);
    if (at < 0) return;
    this.told.push({ state, afterMs: performance.now() - owed[at]!.atMs });
    owed.splice(0, at + 1);
  }

  private owed(node: string): { state: string; atMs: number }[] {
    const list = this.expected.get(node) ?? [];
    this.expected.set(node, list);
    return list;
  }
}

class NpmBroker implements Broker {
  readonly address: string;
  readonly port: number;
  private readonly server: Server;
  private readonly broker: Aedes;

  static async start(address: string): Promise<NpmBroker> {
    const broker = await Aedes.createBroker();
    const server = createServer(broker.handle).listen(0, address);
    await once(server, 'listening');
    return new NpmBroker(broker, server, address);
  }

  private constructor(broker: Aedes, server: Server, address: string) {
    this.broker = broker;
    this.server = server;
    this.address = address;
    this.port = (server.address() as { port: number }).port;
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => this.broker.close(() => resolve()));
    this.server.close();
  }
}

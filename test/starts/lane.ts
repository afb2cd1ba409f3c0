// Two boards' networks, for one start after the other: a namespace each, one veth pair between their log
// cards, a front card each on a plant bridge in this process's namespace, one serial cable. Several lanes
// beside each other do not meet.
import { writeFileSync } from 'node:fs';
import { ip, type Namespace, newNamespace } from '../harness/netns.ts';
import { SerialCable } from '../twin/serial-cable.ts';

export const SIDES = ['a', 'b'] as const;
export type Side = (typeof SIDES)[number];
export const other = (side: Side): Side => (side === 'a' ? 'b' : 'a');

export const GATEWAY_IP = '10.78.0.1';
export const BOARD_IP: Readonly<Record<Side, string>> = { a: '10.78.0.11', b: '10.78.0.12' };
export const LOG_INTERFACE = 'log0';
export const FRONT_INTERFACE = 'front0';
export const TAP = 'tap0';

const NO_IPV6 = 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6';
const BRIDGE_OPTIONS = ['stp_state', '0', 'forward_delay', '0', 'mcast_snooping', '0'];

export class Lane {
  readonly boards: Readonly<Record<Side, Namespace>>;
  readonly serial: SerialCable;
  private readonly plant: string;

  private constructor(plant: string, boards: Record<Side, Namespace>, serial: SerialCable) {
    this.plant = plant;
    this.boards = boards;
    this.serial = serial;
  }

  /** Needs a network namespace of its own (enterNamespace). All is well. */
  static async make(number: number): Promise<Lane> {
    writeFileSync('/proc/sys/net/ipv6/conf/all/disable_ipv6', '1');
    // Each plant has a gateway of the same address, and answers for its own alone.
    writeFileSync('/proc/sys/net/ipv4/conf/all/arp_ignore', '1');
    const boards = {
      a: await newNamespace({ mounts: true }),
      b: await newNamespace({ mounts: true }),
    };
    const lane = new Lane(`plant${number}`, boards, await SerialCable.make());
    lane.connect();
    return lane;
  }

  private connect(): void {
    const { plant, boards } = this;
    ip('link', 'add', plant, 'type', 'bridge', ...BRIDGE_OPTIONS);
    ip('link', 'set', plant, 'up');
    for (const side of SIDES) {
      const ours = this.port(side);
      const peer = ['peer', 'name', FRONT_INTERFACE, 'netns', `${boards[side].pid}`];
      ip('link', 'add', ours, 'type', 'veth', ...peer);
      ip('link', 'set', ours, 'master', plant, 'up');
    }
    inside(
      boards.a,
      `ip link add ${LOG_INTERFACE} type veth peer name ${LOG_INTERFACE} netns ${boards.b.pid}`,
    );
    for (const side of SIDES) {
      const address = `ip address add ${BOARD_IP[side]}/24 dev ${FRONT_INTERFACE}`;
      inside(boards[side], NO_IPV6, address, ...linkUp(LOG_INTERFACE), ...linkUp(FRONT_INTERFACE));
    }
    this.gateway(true);
  }

  /** One cable: without its carrier at one end the other end is switched off. */
  log(side: Side, hasCarrier: boolean): void {
    inside(this.boards[other(side)], ...linkUp(LOG_INTERFACE, hasCarrier));
  }

  front(side: Side, hasCarrier: boolean): void {
    ip('link', 'set', this.port(side), hasCarrier ? 'up' : 'down');
  }

  gateway(answers: boolean): void {
    ip(
      'address',
      answers ? 'replace' : 'flush',
      ...(answers ? [`${GATEWAY_IP}/32`] : []),
      'dev',
      this.plant,
    );
  }

  tap(side: Side, isThere: boolean): void {
    const make = [`ip tuntap add dev ${TAP} mode tap`, ...linkUp(TAP)];
    const drop = [`! ip link show ${TAP} 2>/dev/null >&2 || ip link delete ${TAP}`];
    inside(this.boards[side], ...drop, ...(isThere ? make : []));
  }

  private port(side: Side): string {
    return `${this.plant}-${side}`;
  }

  /** For a failure. */
  words(): string {
    const links = SIDES.map((side) => inside(this.boards[side], 'ip -o -s link').trim());
    return [...links, ip('-o', 'link').trim()].join('\n');
  }

  async close(): Promise<void> {
    for (const side of SIDES) await this.boards[side].close();
    ip('link', 'delete', this.plant);
    this.serial.close();
  }
}

export function inside(namespace: Namespace, ...commands: readonly string[]): string {
  return namespace.run('sh', '-ec', commands.join('\n'));
}

const linkUp = (name: string, isUp = true) => [`ip link set ${name} ${isUp ? 'up' : 'down'}`];

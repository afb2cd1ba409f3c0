// The plant around two boards: a LAN and the ends of their cables in this process's network namespace,
// and a namespace for each board.
//
//      this namespace:   plant (bridge: gateway, client)         log-a ───────── log-b    one veth pair
//                          ├ front-a     ├ front-b                 │               │
//                      ────┼─────────────┼─────────────────────────┼───────────────┼─────────────
//      boards:           front0 (a)    front0 (b)                log0 (a)        log0 (b)
//                          │ br0         │ br0
//                          │ tap0        │ tap0 (the guest)
//
// Carriers are those of the kernel. Our end of a cable is off while the cable is out or its board has no
// power; then the cards at both of its ends have no carrier. The end of a veth pair that is switched
// off is no picture of a card whose cable was pulled: that one stays switched on, and only its carrier
// goes. So the log cards are macvlan interfaces upon the ends of the pair: they have a carrier while the
// pair has one, and pass its frames on as they are. A second log cable, where it is asked for, is a second
// such pair.
import { writeFileSync } from 'node:fs';
import { ip, type Namespace, newNamespace } from '../harness/netns.ts';
import { BadCable, type Trouble } from './bad-cable.ts';
import { runWire, wire } from './wire.ts';

export const SIDES = ['a', 'b'] as const;
export type Side = (typeof SIDES)[number];
export const other = (side: Side): Side => (side === 'a' ? 'b' : 'a');

export const GATEWAY_IP = '10.77.0.1';
export const CLIENT_IP = '10.77.0.2';
export const GUEST_IP = '10.77.0.50';
export const GUEST_MAC = '02:77:00:00:00:50';
export const BOARD_IP: Readonly<Record<Side, string>> = { a: '10.77.0.11', b: '10.77.0.12' };
/** As a board sees its interfaces. */
export const LOG_INTERFACE = 'log0';
export const SECOND_LOG_INTERFACE = 'log1';
export const FRONT_INTERFACE = 'br0';
export const TAP = 'tap0';
export type Cable = 'front' | 'log' | 'log2';
const CABLES: readonly Cable[] = ['front', 'log'];
const CARD: Readonly<Record<Cable, string>> = {
  front: 'front0',
  log: LOG_INTERFACE,
  log2: SECOND_LOG_INTERFACE,
};
const isLog = (cable: Cable): boolean => cable !== 'front';
/**
 * Unlike every number here: the kernel tells of a carrier at once only where an interface and what it
 * hangs on have different ones (linkwatch_urgent_event), else up to a second late.
 */
const CARD_NUMBER: Readonly<Record<Cable, string>> = {
  ...{ front: '1001', log: '1002', log2: '1003' },
};
const ANSWER_ONLY_THERE = '/proc/sys/net/ipv4/conf/all/arp_ignore';
const CARRIER_POLL_MS = 10;
export const PLANT_INTERFACE = 'plant';
const PLANT_MAC = '02:77:00:00:00:01';
const MTU = { front: '1500', log: '9000', log2: '9000' } as const;
const QUIET_IPV6 = '/proc/sys/net/ipv6/conf/all/disable_ipv6';
/** Linux clients repeat a lost segment after 200 ms at the earliest, unless the route says otherwise. */
export const RTO_MIN_MS = 10;

/** Our end of a board's cable. */
export const port = (cable: Cable, side: Side): string => `${cable}-${side}`;

/** Where what this board says on this cable comes in. */
export const earshot = (cable: Cable, side: Side): string =>
  port(cable, isLog(cable) ? other(side) : side);

/** A log cable is one for both boards. */
const nameOf = (cable: Cable, side: Side): string => (isLog(cable) ? cable : port(cable, side));

export class Network {
  readonly boards: Readonly<Record<Side, Namespace>>;
  /** By name. */
  private readonly bad = new Map<string, BadCable>();
  private readonly pulled = new Set<string>();
  private readonly dark = new Set<Side>();
  /** Our ends that are switched on. */
  private readonly on = new Set<string>();

  private readonly cables: readonly Cable[];

  private constructor(boards: Record<Side, Namespace>, cables: readonly Cable[]) {
    this.boards = boards;
    this.cables = cables;
  }

  /** Needs a namespace of its own (enterNamespace). */
  static async make({ hasSecondLog = false } = {}): Promise<Network> {
    // A power cut waits for no compiler.
    wire('power');
    writeFileSync(QUIET_IPV6, '1');
    // Our end of a cable must not answer in the name of the bridge.
    writeFileSync(ANSWER_ONLY_THERE, '1');
    makePlant();
    const boards = {
      a: await newNamespace({ mounts: true }),
      b: await newNamespace({ mounts: true }),
    };
    const cables: readonly Cable[] = hasSecondLog ? [...CABLES, 'log2'] : CABLES;
    for (const cable of cables.filter(isLog)) {
      const mtu = ['mtu', MTU[cable]];
      const [a, b] = [port(cable, 'a'), port(cable, 'b')];
      ip('link', 'add', a, ...mtu, 'type', 'veth', 'peer', 'name', b, ...mtu);
    }
    const network = new Network(boards, cables);
    for (const side of SIDES) network.equip(side);
    network.settle();
    return network;
  }

  private equip(side: Side): void {
    const board = this.boards[side];
    board.run('sh', '-c', `echo 1 > ${QUIET_IPV6}`);
    // What the kernel tells of its cards there is of this board's.
    board.run('mount', '-t', 'sysfs', 'sysfs', '/sys');
    const front = port('front', side);
    const logs = this.cables.filter(isLog);
    const card = (cable: Cable) => {
      const inside = ['index', CARD_NUMBER[cable], 'mtu', MTU[cable]];
      return [...inside, 'netns', String(board.pid), 'type'];
    };
    ip('link', 'add', CARD.front, ...card('front'), 'veth', 'peer', 'name', front);
    for (const log of logs) {
      const on = ['link', port(log, side)];
      ip('link', 'add', CARD[log], ...on, ...card(log), 'macvlan', 'mode', 'passthru');
    }
    ip('link', 'set', front, 'mtu', MTU.front, 'master', PLANT_INTERFACE);
    for (const name of [front, ...logs.map((log) => port(log, side))])
      ip('link', 'set', name, 'addrgenmode', 'none');
    const link = (...args: string[]) => board.run('ip', 'link', ...args);
    link('add', FRONT_INTERFACE, 'type', 'bridge', 'stp_state', '0', 'mcast_snooping', '0');
    link('set', FRONT_INTERFACE, 'addrgenmode', 'none', 'up');
    for (const log of logs) link('set', CARD[log], 'addrgenmode', 'none', 'up');
    link('set', CARD.front, 'addrgenmode', 'none', 'master', FRONT_INTERFACE, 'up');
    this.addTap(side);
    board.run('ip', 'address', 'add', `${BOARD_IP[side]}/24`, 'dev', FRONT_INTERFACE);
  }

  addTap(side: Side): void {
    const { run } = this.boards[side];
    run('ip', 'tuntap', 'add', 'dev', TAP, 'mode', 'tap');
    run('ip', 'link', 'set', TAP, 'addrgenmode', 'none', 'master', FRONT_INTERFACE, 'up');
  }

  deleteTap(side: Side): void {
    this.boards[side].run('ip', 'link', 'del', TAP);
  }

  private isOn(cable: Cable, side: Side): boolean {
    return !this.dark.has(side) && !this.pulled.has(nameOf(cable, side));
  }

  /** Every end of ours on or off, as it must be now. */
  private settle(): void {
    for (const side of SIDES)
      for (const cable of this.cables) {
        const [end, isOn] = [port(cable, side), this.isOn(cable, side)];
        if (isOn === this.on.has(end)) continue;
        ip('link', 'set', end, isOn ? 'up' : 'down');
        if (isOn) this.on.add(end);
        else this.on.delete(end);
      }
  }

  /** The cards at both ends of a cable that is out have no carrier. */
  pull(cable: Cable, side: Side): void {
    this.pulled.add(nameOf(cable, side));
    this.settle();
  }

  /** The cable is whole and in, whatever was wrong with it. */
  async mend(cable: Cable, side: Side): Promise<void> {
    const name = nameOf(cable, side);
    await this.bad.get(name)?.mend();
    this.bad.delete(name);
    this.pulled.delete(name);
    this.settle();
    await this.carries(cable, side);
  }

  /** Returns when its frames go through a relay. */
  async spoil(cable: Cable, side: Side, trouble: Trouble): Promise<void> {
    const name = nameOf(cable, side);
    if (this.bad.has(name)) throw new Error(`${name} is bad already`);
    const end = port(cable, side);
    const made = isLog(cable)
      ? BadCable.inPair(end, port(cable, other(side)), trouble)
      : BadCable.atBridge(end, PLANT_INTERFACE, trouble);
    this.bad.set(name, await made);
  }

  /** These processes and the carriers of these boards' cards end in one go. */
  async cutPower(sides: readonly Side[], processes: readonly number[]): Promise<void> {
    const ends = sides.flatMap((side) => this.cables.map((cable) => port(cable, side)));
    const down = ends.filter((end) => this.on.delete(end));
    for (const side of sides) this.dark.add(side);
    // Ending a process takes no time; taking a carrier may wait for the kernel, by milliseconds.
    await runWire('power', [
      ...processes.flatMap((pid) => ['kill', String(pid)]),
      ...down.flatMap((end) => ['down', end]),
    ]);
  }

  /** The cards of these boards are there again: returns when they have the carriers they can have. */
  async restorePower(sides: readonly Side[]): Promise<void> {
    for (const side of sides) this.dark.delete(side);
    this.settle();
    for (const side of sides) for (const cable of this.cables) await this.carries(cable, side);
  }

  /** As the card of this board finds it. */
  hasCarrier(cable: Cable, side: Side): boolean {
    return isUp(this.boards[side].run('ip', 'link', 'show', CARD[cable]));
  }

  /** Until both ends of this cable know that they have a carrier, if they can have one. */
  private async carries(cable: Cable, side: Side): Promise<void> {
    const ends = isLog(cable) ? SIDES : [side];
    if (!ends.every((end) => this.isOn(cable, end))) return;
    const isThere = () =>
      ends.every(
        (end) => this.hasCarrier(cable, end) && isUp(ip('link', 'show', port(cable, end))),
      );
    while (!isThere()) await new Promise((resolve) => setTimeout(resolve, CARRIER_POLL_MS));
  }

  /** The gateway answers no ARP any more, or does again. */
  gateway(isThere: boolean): void {
    ip('address', isThere ? 'add' : 'delete', `${GATEWAY_IP}/32`, 'dev', PLANT_INTERFACE);
  }

  async close(): Promise<void> {
    for (const cable of this.bad.values()) cable.close();
    for (const side of SIDES) await this.boards[side].close();
    // A cable goes with either of its ends; the kernel may have come to it first.
    for (const side of SIDES)
      for (const cable of this.cables)
        for (const name of [port(cable, side), `${port(cable, side)}-x`]) removed(name);
    ip('link', 'delete', PLANT_INTERFACE);
  }
}

const isUp = (shown: string): boolean => shown.includes('state UP');

function removed(link: string): void {
  try {
    ip('link', 'delete', link);
  } catch {
    // Gone already.
  }
}

function makePlant(): void {
  const options = ['stp_state', '0', 'forward_delay', '0', 'mcast_snooping', '0'];
  // An address of its own: without one a bridge takes that of a port.
  const address = ['address', PLANT_MAC, 'mtu', MTU.front];
  ip('link', 'add', PLANT_INTERFACE, ...address, 'type', 'bridge', ...options);
  ip('link', 'set', PLANT_INTERFACE, 'addrgenmode', 'none', 'up');
  ip('address', 'add', `${CLIENT_IP}/24`, 'dev', PLANT_INTERFACE);
  ip('address', 'add', `${GATEWAY_IP}/32`, 'dev', PLANT_INTERFACE);
  const route = ['10.77.0.0/24', 'dev', PLANT_INTERFACE, 'src', CLIENT_IP];
  ip('route', 'replace', ...route, 'rto_min', `${RTO_MIN_MS}ms`);
}

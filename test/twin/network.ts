// The plant around two boards: a LAN and a log link, each a bridge in this process's network
// namespace, so that one socket here sees every frame of both; and a namespace for each board.
//
//        this namespace:   plant (bridge: gateway, client)      loglink (bridge)
//                            ├ front-a        ├ front-b           ├ log-a   ├ log-b
//        board a:   br0 ── front0                                log0
//                    └ tap0 (the guest)
//
// A cable can be pulled (both ends lose their carrier), and made bad: then a relay (wires/relay.c)
// carries its frames instead of the bridge, one way only, or with losses, repeats and other order.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { compile } from '../harness/compile.ts';
import { ip, type Namespace, newNamespace } from '../harness/netns.ts';

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
export const FRONT_INTERFACE = 'br0';
export const TAP = 'tap0';
const ANSWER_ONLY_THERE = '/proc/sys/net/ipv4/conf/all/arp_ignore';
const CARRIER_POLL_MS = 10;
const BRIDGE = { front: 'plant', log: 'loglink' } as const;
const BRIDGE_MAC = { front: '02:77:00:00:00:01', log: '02:77:00:00:00:02' } as const;
const MTU = { front: 1500, log: 9000 } as const;
const QUIET_IPV6 = '/proc/sys/net/ipv6/conf/all/disable_ipv6';
/** Linux clients repeat a lost segment after 200 ms at the earliest, unless the route says otherwise. */
export const RTO_MIN_MS = 10;

export type Cable = 'front' | 'log';
/** `out`: what the board says is lost; `in`: what it should hear. */
export interface Trouble {
  readonly lost?: 'out' | 'in';
  readonly lossPpm?: number;
  readonly repeatPpm?: number;
  readonly reorderPpm?: number;
  readonly seed?: number;
}

/** Our end of a board's cable. */
export const port = (cable: Cable, side: Side): string => `${cable}-${side}`;

export class Network {
  readonly boards: Readonly<Record<Side, Namespace>>;
  private readonly relays = new Map<string, ChildProcess>();

  private constructor(boards: Record<Side, Namespace>) {
    this.boards = boards;
  }

  /** Needs a namespace of its own (enterNamespace). */
  static async make(): Promise<Network> {
    writeFileSync(QUIET_IPV6, '1');
    // A port taken off its bridge must not answer in the name of the bridge.
    writeFileSync(ANSWER_ONLY_THERE, '1');
    for (const cable of ['front', 'log'] as const) addBridge(cable);
    ip('address', 'add', `${CLIENT_IP}/24`, 'dev', BRIDGE.front);
    ip('address', 'add', `${GATEWAY_IP}/32`, 'dev', BRIDGE.front);
    const route = ['10.77.0.0/24', 'dev', BRIDGE.front, 'src', CLIENT_IP];
    ip('route', 'replace', ...route, 'rto_min', `${RTO_MIN_MS}ms`);
    const boards = {
      a: await newNamespace({ mounts: true }),
      b: await newNamespace({ mounts: true }),
    };
    const network = new Network(boards);
    for (const side of SIDES) network.connect(side);
    return network;
  }

  private connect(side: Side): void {
    const board = this.boards[side];
    board.run('sh', '-c', `echo 1 > ${QUIET_IPV6}`);
    for (const cable of ['front', 'log'] as const) {
      const [ours, theirs] = [port(cable, side), cable === 'log' ? LOG_INTERFACE : 'front0'];
      const mtu = ['mtu', String(MTU[cable])];
      const peer = ['peer', 'name', theirs, ...mtu, 'netns', String(board.pid)];
      ip('link', 'add', ours, ...mtu, 'type', 'veth', ...peer);
      ip('link', 'set', ours, 'addrgenmode', 'none', 'master', BRIDGE[cable], 'up');
      board.run('ip', 'link', 'set', theirs, 'addrgenmode', 'none', 'up');
    }
    const link = (...args: string[]) => board.run('ip', 'link', ...args);
    link('add', FRONT_INTERFACE, 'type', 'bridge', 'stp_state', '0', 'mcast_snooping', '0');
    link('set', FRONT_INTERFACE, 'addrgenmode', 'none', 'up');
    board.run('ip', 'tuntap', 'add', 'dev', TAP, 'mode', 'tap');
    for (const name of ['front0', TAP])
      link('set', name, 'addrgenmode', 'none', 'master', FRONT_INTERFACE, 'up');
    board.run('ip', 'address', 'add', `${BOARD_IP[side]}/24`, 'dev', FRONT_INTERFACE);
  }

  /** The log link is one cable: without it neither board has a carrier. */
  pull(cable: Cable, side: Side): void {
    for (const end of cable === 'log' ? SIDES : [side]) ip('link', 'set', port(cable, end), 'down');
  }

  /** The cable is whole again, whatever was wrong with it. */
  async mend(cable: Cable, side: Side): Promise<void> {
    const ours = port(cable, side);
    const relay = this.relays.get(ours);
    if (relay !== undefined) {
      this.relays.delete(ours);
      const gone = once(relay, 'exit');
      relay.kill('SIGKILL');
      await gone;
      ip('link', 'delete', `${ours}-x`);
      ip('link', 'set', ours, 'promisc', 'off', 'master', BRIDGE[cable]);
    }
    for (const end of cable === 'log' ? SIDES : [side]) {
      ip('link', 'set', port(cable, end), 'up');
      await this.carries(port(cable, end));
    }
  }

  /** The kernel takes up to a second to see a carrier, as a real card does. */
  private async carries(name: string): Promise<void> {
    while (!ip('link', 'show', name).includes('state UP'))
      await new Promise((resolve) => setTimeout(resolve, CARRIER_POLL_MS));
  }

  /** Returns when the relay carries. */
  async spoil(cable: Cable, side: Side, trouble: Trouble): Promise<void> {
    const ours = port(cable, side);
    if (this.relays.has(ours)) throw new Error(`${ours} is bad already`);
    const [inner, outer] = [`${ours}-x`, `${ours}-y`];
    const mtu = ['mtu', String(MTU[cable])];
    ip('link', 'add', inner, ...mtu, 'type', 'veth', 'peer', 'name', outer, ...mtu);
    for (const name of [inner, outer]) ip('link', 'set', name, 'addrgenmode', 'none', 'up');
    ip('link', 'set', outer, 'master', BRIDGE[cable]);
    // From here on the bridge carries nothing of this cable any more, and the relay does.
    ip('link', 'set', ours, 'nomaster');
    const { lost, lossPpm = 0, repeatPpm = 0, reorderPpm = 0, seed = 1 } = trouble;
    const ways = { out: 'left', in: 'right' } as const;
    const rates = [lossPpm, repeatPpm, reorderPpm].map(String);
    const way = lost === undefined ? 'both' : ways[lost];
    const relay = spawn(wire('relay'), [ours, inner, String(seed), way, ...rates], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.relays.set(ours, relay);
    await firstWords(relay);
  }

  /** The gateway answers no ARP any more, or does again. */
  gateway(isThere: boolean): void {
    ip('address', isThere ? 'add' : 'delete', `${GATEWAY_IP}/32`, 'dev', BRIDGE.front);
  }

  async close(): Promise<void> {
    for (const relay of this.relays.values()) relay.kill('SIGKILL');
    for (const side of SIDES) await this.boards[side].close();
    // A cable goes with either of its ends; the kernel may have come to it first.
    for (const side of SIDES)
      for (const cable of ['front', 'log'] as const)
        for (const name of [port(cable, side), `${port(cable, side)}-x`]) removed(name);
    for (const bridge of Object.values(BRIDGE)) ip('link', 'delete', bridge);
  }
}

function removed(link: string): void {
  try {
    ip('link', 'delete', link);
  } catch {
    // Gone already.
  }
}

function addBridge(cable: Cable): void {
  const name = BRIDGE[cable];
  const options = ['stp_state', '0', 'forward_delay', '0', 'mcast_snooping', '0'];
  // An address of its own: without one a bridge takes that of a port.
  const address = ['address', BRIDGE_MAC[cable]];
  ip('link', 'add', name, ...address, 'mtu', String(MTU[cable]), 'type', 'bridge', ...options);
  ip('link', 'set', name, 'addrgenmode', 'none', 'up');
}

/** A program of wires/, compiled. */
export function wire(name: 'relay' | 'serial' | 'capture'): string {
  const source = `test/twin/wires/${name}.c`;
  return compile({
    name: `wire-${name}`,
    inputs: [source],
    commands: (out) => [
      ['gcc', '-O2', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-o', `${out}/${name}`, source],
    ],
    result: name,
  });
}

/** What a wire says first; throws if it ends instead. */
export async function firstWords(child: ChildProcess): Promise<string> {
  const words = once(child.stdout as Readable, 'data').then(([bytes]) => String(bytes));
  const end = once(child, 'exit').then(([code]) => {
    throw new Error(`${child.spawnfile} ended with ${code}`);
  });
  return await Promise.race([words, end]);
}

// Paths beside the first of two boards in two namespaces: another pair of cards, or UDP over a third.
import type { Port } from '../../logchan/port.ts';
import { RingPort } from '../../logchan/ring-port.ts';
import { UdpPort, type UdpPortOptions } from '../../logchan/udp-port.ts';
import { type Far, ip, makePair } from './namespace.ts';

/** As one end opens it. */
export type MorePath = { card: string } | { udp: UdpPortOptions };

export function makePort(path: MorePath): Port {
  return 'card' in path ? new RingPort({ interface: path.card }) : new UdpPort(path.udp);
}

export interface MorePaths {
  near: MorePath[];
  far: MorePath[];
  /** Of the peer's, to be given to it; and ours. */
  interfaces: Far[];
  ours: string[];
}

const UDP_PORT = 47_701;
const ADDRESS = { near: '10.56.0.1', far: '10.56.0.2' };

/** So many kinds, in order: each gets a veth pair of its own. */
export function makeMore(kinds: readonly ('card' | 'udp')[]): MorePaths {
  const more: MorePaths = { near: [], far: [], interfaces: [], ours: [] };
  for (const kind of kinds) {
    const [near, far] = makePair();
    more.ours.push(near);
    if (kind === 'card') {
      more.near.push({ card: near });
      more.far.push({ card: far });
      more.interfaces.push({ name: far });
      continue;
    }
    ip('address', 'add', `${ADDRESS.near}/24`, 'dev', near);
    const ends = { address: ADDRESS.near, peer: ADDRESS.far, port: UDP_PORT };
    more.near.push({ udp: { interface: near, ...ends } });
    const theirs = { address: ADDRESS.far, peer: ADDRESS.near, port: UDP_PORT };
    more.far.push({ udp: { interface: far, ...theirs } });
    more.interfaces.push({ name: far, address: `${ADDRESS.far}/24` });
  }
  return more;
}

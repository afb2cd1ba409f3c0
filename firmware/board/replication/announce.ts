// Telling the plant network where the guest is now: frames a board sends in the guest's name after a
// takeover, in each network (VLAN) and for each address that the guest was heard with. Pure.
//
// RARP with the guest's MAC is for switches: whatever they thought of that MAC, it is here now. The
// guest's MAC has not changed, so ARP and neighbour caches stay right; a gratuitous ARP for each known
// IPv4 address, an unsolicited neighbour advertisement for each IPv6 one (RFC 4861, 4.4 and 7.2.6) are
// for devices that drop a neighbour whose port went down.
import type { GuestNetwork } from './guest-addresses.ts';

const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, rarp: 0x8035, ipv6: 0x86dd } as const;
const OPERATION = { arpRequest: 1, rarpRequest: 3 } as const;
const MAC_BYTES = 6;
const IPV4_BYTES = 4;
const FRAME_BYTES_MIN = 60;
const BROADCAST = new Uint8Array(MAC_BYTES).fill(0xff);
const NO_MAC = new Uint8Array(MAC_BYTES);
const NO_ADDRESS = new Uint8Array(IPV4_BYTES);

const ALL_NODES_MAC = Uint8Array.of(0x33, 0x33, 0, 0, 0, 1);
const ALL_NODES = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const ICMPV6 = 58;
const NEIGHBOUR_ADVERTISEMENT = 136;
const ADVERTISEMENT_BYTES = 32;
/** Router, not solicited, override: a router that said it is none would be dropped as a gateway. */
const FLAG = { router: 0x80, override: 0x20 } as const;

/** What to send for a card with this MAC, known in these networks. */
export function announcements(mac: Uint8Array, networks: readonly GuestNetwork[]): Uint8Array[] {
  return networks.flatMap(({ tags, ipv4, ipv6, isRouter }) => [
    broadcast(mac, tags, ETHERTYPE.rarp, arp(OPERATION.rarpRequest, mac, NO_ADDRESS, mac)),
    ...ipv4.map((address) =>
      broadcast(mac, tags, ETHERTYPE.arp, arp(OPERATION.arpRequest, mac, address, NO_MAC)),
    ),
    ...ipv6.map((address) =>
      frame(ALL_NODES_MAC, mac, tags, ETHERTYPE.ipv6, advertisement(mac, address, isRouter)),
    ),
  ]);
}

const broadcast = (from: Uint8Array, tags: Uint8Array, type: number, payload: Uint8Array) =>
  frame(BROADCAST, from, tags, type, payload);

function frame(
  to: Uint8Array,
  from: Uint8Array,
  tags: Uint8Array,
  type: number,
  payload: Uint8Array,
): Uint8Array {
  const head = [...to, ...from, ...tags, type >> 8, type & 0xff];
  // What a tag adds is not padding: behind the switch that takes it off the frame must be long enough.
  const length = Math.max(FRAME_BYTES_MIN + tags.length, head.length + payload.length);
  const bytes = new Uint8Array(length);
  bytes.set(head);
  bytes.set(payload, head.length);
  return bytes;
}

/** RFC 826 and 903; sender and target have the same IPv4 address. */
function arp(
  operation: number,
  sender: Uint8Array,
  address: Uint8Array,
  target: Uint8Array,
): Uint8Array {
  const head = [0, 1, ETHERTYPE.ipv4 >> 8, 0, MAC_BYTES, IPV4_BYTES, 0, operation];
  return Uint8Array.of(...head, ...sender, ...address, ...target, ...address);
}

function advertisement(mac: Uint8Array, address: Uint8Array, isRouter: boolean): Uint8Array {
  const ip = Uint8Array.of(0x60, 0, 0, 0, 0, ADVERTISEMENT_BYTES, ICMPV6, 255);
  const flags = FLAG.override | (isRouter ? FLAG.router : 0);
  const linkAddress = [2, 1, ...mac];
  const head = [NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
  const icmp = Uint8Array.of(...head, ...address, ...linkAddress);
  const pseudo = [...address, ...ALL_NODES, 0, 0, 0, ADVERTISEMENT_BYTES, 0, 0, 0, ICMPV6];
  const sum = internetChecksum(Uint8Array.of(...pseudo, ...icmp));
  icmp[2] = sum >> 8;
  icmp[3] = sum & 0xff;
  return Uint8Array.of(...ip, ...address, ...ALL_NODES, ...icmp);
}

/** RFC 1071, of an even number of bytes. */
function internetChecksum(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

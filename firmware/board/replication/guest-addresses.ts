// In which networks (VLANs) and with which addresses a card of the guest was heard, from the frames it
// sends itself: what has to be announced when it moves. Pure, bounded, and cheap for most frames.
//
// Only what is the guest's own is learnt. Who forwards for others sends their addresses with its own MAC:
// IPv4 is therefore learnt from ARP alone, IPv6 from what a router would not have passed on: link-local
// sources, neighbour discovery, and packets whose hop limit is one that senders start from.

/** What one card was heard with in one network. */
export interface GuestNetwork {
  /** VLAN tags of its frames as they were heard, 4 bytes each, the outer first; empty: untagged. */
  readonly tags: Uint8Array;
  readonly ipv4: readonly Uint8Array[];
  readonly ipv6: readonly Uint8Array[];
  /** It said that it is a router of IPv6. */
  readonly isRouter: boolean;
}

/** A guest in more is a router or a switch, and others speak of its addresses often enough. */
export const NETWORKS_MAX = 32;
/** Of each family, in one network. */
export const ADDRESSES_MAX = 16;
export const TAGS_MAX = 2;
export const TAG_BYTES = 4;
const TYPE_AT = 12;
const IPV6_BYTES = 40;
const NO_TAGS = new Uint8Array(0);

/** 802.1Q, 802.1ad, and what switches used for the outer tag before that. */
const TAG_TYPES: readonly number[] = [0x8100, 0x88a8, 0x9100, 0x9200];
const ARP = 0x0806;
const IPV6 = 0x86dd;
const ICMPV6 = 58;
const DISCOVERY = { first: 133, last: 137, routerAdvertisement: 134, advertisement: 136 } as const;
/** What a packet leaves its sender with; one that was passed on has less. */
const FIRST_HOP_LIMITS: readonly number[] = [32, 64, 128, 255];

interface Network {
  readonly tags: Uint8Array;
  ipv4: Recent;
  ipv6: Recent;
  isRouter: boolean;
}

export class AddressLearner {
  private readonly mac: Uint8Array;
  /** The untagged one first, for ever; the others in the order of last use. */
  private networks: Network[] = [networkOf(NO_TAGS)];

  constructor(mac: Uint8Array) {
    this.mac = mac;
  }

  get heard(): GuestNetwork[] {
    return this.networks.map(said);
  }

  /** Every frame the guest sends. */
  sent(bytes: Uint8Array): void {
    if (!isAt(bytes, 6, this.mac)) return;
    let at = TYPE_AT;
    let type = u16(bytes, at);
    for (let tags = 0; TAG_TYPES.includes(type); tags++) {
      if (tags === TAGS_MAX) return;
      at += TAG_BYTES;
      type = u16(bytes, at);
    }
    if (at + 2 > bytes.length) return;
    const isTagged = at > TYPE_AT;
    if (!isTagged && type !== ARP && type !== IPV6) return;
    const network = isTagged ? this.network(tagsOf(bytes, at)) : (this.networks[0] as Network);
    const packet = bytes.subarray(at + 2);
    if (type === ARP) this.arp(packet, network);
    if (type === IPV6) this.ipv6(packet, network);
  }

  /** Another life, another guest: it has no address before it says so. */
  forget(): void {
    this.networks = [networkOf(NO_TAGS)];
  }

  /** What another board heard, older than all that is known here. */
  merge(heard: readonly GuestNetwork[]): void {
    const own = this.networks;
    this.forget();
    for (const { tags, ipv4, ipv6, isRouter } of [...heard, ...own.map(said)]) {
      const network = this.network(tags);
      for (const address of ipv4) network.ipv4.touch(address);
      for (const address of ipv6) network.ipv6.touch(address);
      network.isRouter ||= isRouter;
    }
  }

  private network(tags: Uint8Array): Network {
    const { networks } = this;
    if (tags.length === 0) return networks[0] as Network;
    let at = networks.length - 1;
    while (at > 0 && !isSameVlan((networks[at] as Network).tags, tags)) at--;
    const known = at > 0 ? networks[at] : undefined;
    if (known !== undefined && at === networks.length - 1) return known;
    const network = known ?? networkOf(tags.slice());
    if (known !== undefined) networks.splice(at, 1);
    networks.push(network);
    if (networks.length > NETWORKS_MAX) networks.splice(1, 1);
    return network;
  }

  /** RFC 826: Ethernet and IPv4, a request or an answer, by this card. */
  private arp(packet: Uint8Array, { ipv4 }: Network): void {
    if (packet.length < 28 || !isAt(packet, 0, ARP_HEAD)) return;
    const operation = packet[7] as number;
    if ((operation !== 1 && operation !== 2) || !isAt(packet, 8, this.mac)) return;
    // All zeros: a probe for an address it does not have yet (RFC 5227).
    if (!isZero(packet, 14, 4)) ipv4.touch(packet.subarray(14, 18));
  }

  private ipv6(packet: Uint8Array, network: Network): void {
    if (packet.length < IPV6_BYTES || (packet[0] as number) >> 4 !== 6) return;
    const source = packet.subarray(8, 24);
    const isLinkLocal = source[0] === 0xfe && ((source[1] as number) & 0xc0) === 0x80;
    const isOwn = isLinkLocal || FIRST_HOP_LIMITS.includes(packet[7] as number);
    if (isOwn && isUnicast(source)) network.ipv6.touch(source);
    // With 255 it comes from this link, and so from the guest.
    if (packet[6] === ICMPV6 && packet[7] === 255) this.discovery(packet, network);
  }

  private discovery(packet: Uint8Array, network: Network): void {
    const [type, flags] = [packet[IPV6_BYTES] as number, packet[IPV6_BYTES + 4] as number];
    if (packet.length < IPV6_BYTES + 8) return;
    if (type < DISCOVERY.first || type > DISCOVERY.last) return;
    if (type === DISCOVERY.routerAdvertisement) network.isRouter = true;
    if (type !== DISCOVERY.advertisement || packet.length < IPV6_BYTES + 24) return;
    network.isRouter = (flags & 0x80) !== 0;
    const target = packet.subarray(IPV6_BYTES + 8, IPV6_BYTES + 24);
    // Without override it speaks for somebody else, or one of several that may answer.
    if ((flags & 0x20) !== 0 && isUnicast(target)) network.ipv6.touch(target);
  }
}

const ARP_HEAD = Uint8Array.of(0, 1, 8, 0, 6, 4, 0);

/** The newest few, oldest first. */
class Recent {
  private readonly items: Uint8Array[] = [];

  get all(): Uint8Array[] {
    return [...this.items];
  }

  touch(address: Uint8Array): void {
    const { items } = this;
    let at = items.length - 1;
    while (at >= 0 && !isAt(items[at] as Uint8Array, 0, address)) at--;
    if (at >= 0 && at === items.length - 1) return;
    items.push(at < 0 ? address.slice() : (items[at] as Uint8Array));
    if (at >= 0) items.splice(at, 1);
    if (items.length > ADDRESSES_MAX) items.shift();
  }
}

function networkOf(tags: Uint8Array): Network {
  return { tags, ipv4: new Recent(), ipv6: new Recent(), isRouter: false };
}

const said = ({ tags, ipv4, ipv6, isRouter }: Network): GuestNetwork => {
  return { tags, ipv4: ipv4.all, ipv6: ipv6.all, isRouter };
};

/** A tag of VLAN 0 gives a priority and no network. */
function tagsOf(bytes: Uint8Array, end: number): Uint8Array {
  const tags = bytes.subarray(TYPE_AT, end);
  const isVlan = (at: number) => (u16(tags, at + 2) & 0xfff) !== 0;
  if (tags.length === TAG_BYTES) return isVlan(0) ? tags : NO_TAGS;
  if (!isVlan(0)) return isVlan(TAG_BYTES) ? tags.subarray(TAG_BYTES) : NO_TAGS;
  return isVlan(TAG_BYTES) ? tags : tags.subarray(0, TAG_BYTES);
}

/** Whatever their priorities are. */
function isSameVlan(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at += TAG_BYTES) {
    const isSame =
      u16(a, at) === u16(b, at) && (u16(a, at + 2) & 0xfff) === (u16(b, at + 2) & 0xfff);
    if (!isSame) return false;
  }
  return true;
}

function isUnicast(address: Uint8Array): boolean {
  return address[0] !== 0xff && !isZero(address, 0, 15);
}

function isZero(bytes: Uint8Array, at: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (bytes[at + i] !== 0) return false;
  return true;
}

function isAt(bytes: Uint8Array, at: number, what: Uint8Array): boolean {
  for (let i = 0; i < what.length; i++) if (bytes[at + i] !== what[i]) return false;
  return true;
}

const u16 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) << 8) | (bytes[at + 1] as number);

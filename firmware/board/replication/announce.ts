// Telling the plant network where the guest is now: frames a board sends in the guest's name after a
// takeover, and where it learns the guest's addresses from. Pure.
//
// RARP with the guest's MAC is for switches: whatever they thought of that MAC, it is here now. The
// guest's MAC has not changed, so ARP caches stay right; a gratuitous ARP for each known IPv4 address
// is for devices that drop a neighbour whose port went down.

const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, rarp: 0x8035 } as const;
const OPERATION = { arpRequest: 1, arpReply: 2, rarpRequest: 3 } as const;
const MAC_BYTES = 6;
const IPV4_BYTES = 4;
const ARP_AT = 14;
const SENDER_AT = ARP_AT + 8;
const TARGET_AT = SENDER_AT + MAC_BYTES + IPV4_BYTES;
const FRAME_BYTES_MIN = 60;
const BROADCAST = new Uint8Array(MAC_BYTES).fill(0xff);
const NO_ADDRESS = new Uint8Array(IPV4_BYTES);
/** A guest with more addresses is a router, and sends for others too. */
const ADDRESSES_MAX = 16;

/** What to send for a card with this MAC and these IPv4 addresses. */
export function announcements(mac: Uint8Array, addresses: readonly Uint8Array[]): Uint8Array[] {
  const who = { mac, address: NO_ADDRESS };
  const rarp = frame(mac, ETHERTYPE.rarp, OPERATION.rarpRequest, who, who);
  return [
    rarp,
    ...addresses.map((address) => {
      const target = { mac: new Uint8Array(MAC_BYTES), address };
      return frame(mac, ETHERTYPE.arp, OPERATION.arpRequest, { mac, address }, target);
    }),
  ];
}

interface Station {
  readonly mac: Uint8Array;
  readonly address: Uint8Array;
}

function frame(
  from: Uint8Array,
  type: number,
  operation: number,
  sender: Station,
  target: Station,
): Uint8Array {
  const bytes = new Uint8Array(FRAME_BYTES_MIN);
  const view = new DataView(bytes.buffer);
  bytes.set(BROADCAST, 0);
  bytes.set(from, MAC_BYTES);
  view.setUint16(2 * MAC_BYTES, type);
  view.setUint16(ARP_AT, 1); // Ethernet
  view.setUint16(ARP_AT + 2, ETHERTYPE.ipv4);
  bytes[ARP_AT + 4] = MAC_BYTES;
  bytes[ARP_AT + 5] = IPV4_BYTES;
  view.setUint16(ARP_AT + 6, operation);
  bytes.set(sender.mac, SENDER_AT);
  bytes.set(sender.address, SENDER_AT + MAC_BYTES);
  bytes.set(target.mac, TARGET_AT);
  bytes.set(target.address, TARGET_AT + MAC_BYTES);
  return bytes;
}

/** Learns the guest's IPv4 addresses from the ARP frames it sends itself. */
export class AddressLearner {
  private readonly mac: Uint8Array;
  /** By text, in the order of last use. */
  private readonly known = new Map<string, Uint8Array>();

  constructor(mac: Uint8Array) {
    this.mac = mac;
  }

  get addresses(): Uint8Array[] {
    return [...this.known.values()];
  }

  /** Every frame the guest sends; cheap for all that are not ARP. */
  sent(bytes: Uint8Array): void {
    if (bytes[12] !== 0x08 || bytes[13] !== 0x06 || bytes.length < TARGET_AT) return;
    const isIpv4 = bytes[16] === 0x08 && bytes[17] === 0 && bytes[18] === 6 && bytes[19] === 4;
    const operation = bytes[21] as number;
    if (!isIpv4 || (operation !== OPERATION.arpRequest && operation !== OPERATION.arpReply)) return;
    if (!startsWith(bytes, SENDER_AT, this.mac)) return;
    const address = bytes.slice(SENDER_AT + MAC_BYTES, TARGET_AT);
    // A probe for an address it does not have yet (RFC 5227).
    if (startsWith(address, 0, NO_ADDRESS)) return;
    const name = address.join('.');
    this.known.delete(name);
    this.known.set(name, address);
    if (this.known.size <= ADDRESSES_MAX) return;
    for (const oldest of this.known.keys()) {
      this.known.delete(oldest);
      return;
    }
  }
}

function startsWith(bytes: Uint8Array, at: number, what: Uint8Array): boolean {
  for (let i = 0; i < what.length; i++) if (bytes[at + i] !== what[i]) return false;
  return true;
}

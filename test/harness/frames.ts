// Ethernet frames for tests, made and taken apart by hand: ARP, ICMP echo and UDP over IPv4, just
// enough to be a neighbour of a real network stack.

export interface Ethernet {
  to: string;
  from: string;
  type: number;
  payload: Uint8Array;
}

export interface Ipv4 {
  from: string;
  to: string;
  protocol: number;
  payload: Uint8Array;
}

export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806 } as const;
export const PROTOCOL = { icmp: 1, udp: 17 } as const;

export function ethernet({ to, from, type, payload }: Ethernet): Uint8Array {
  return concat(macBytes(to), macBytes(from), u16(type), payload);
}

export function parseEthernet(frame: Uint8Array): Ethernet {
  return {
    to: macText(frame.subarray(0, 6)),
    from: macText(frame.subarray(6, 12)),
    type: at16(frame, 12),
    payload: frame.subarray(14),
  };
}

/** The reply to an ARP request for `ip`, or undefined if the frame is none. */
export function arpReply(request: Uint8Array, ip: string, mac: string): Uint8Array | undefined {
  const { type, payload } = parseEthernet(request);
  if (type !== ETHERTYPE.arp || at16(payload, 6) !== 1) return undefined;
  if (ipText(payload.subarray(24, 28)) !== ip) return undefined;
  const asker = payload.subarray(8, 18); // hardware and protocol address
  const reply = concat(...[payload.subarray(0, 6), u16(2)], ...[macBytes(mac), ipBytes(ip), asker]);
  return ethernet({ to: macText(asker), from: mac, type: ETHERTYPE.arp, payload: reply });
}

export function ipv4({ from, to, protocol, payload }: Ipv4): Uint8Array {
  const header = concat(
    ...[Uint8Array.of(0x45, 0), u16(20 + payload.length), Uint8Array.of(0, 0, 0x40, 0)],
    ...[Uint8Array.of(64, protocol, 0, 0), ipBytes(from), ipBytes(to)],
  );
  header.set(u16(checksum(header)), 10);
  return concat(header, payload);
}

export function parseIpv4(packet: Uint8Array): Ipv4 {
  const headerBytes = 4 * (packet[0]! & 15);
  return {
    from: ipText(packet.subarray(12, 16)),
    to: ipText(packet.subarray(16, 20)),
    protocol: packet[9]!,
    payload: packet.subarray(headerBytes, at16(packet, 2)),
  };
}

/** Type 8 asks, 0 answers. */
export function icmpEcho(type: 8 | 0, id: number, sequence: number, data: Uint8Array): Uint8Array {
  const message = concat(Uint8Array.of(type, 0, 0, 0), u16(id), u16(sequence), data);
  message.set(u16(checksum(message)), 2);
  return message;
}

/** Checksum left out, which IPv4 allows. */
export function udp(fromPort: number, toPort: number, data: Uint8Array): Uint8Array {
  return concat(u16(fromPort), u16(toPort), u16(8 + data.length), u16(0), data);
}

export function parseUdp(datagram: Uint8Array) {
  return { fromPort: at16(datagram, 0), toPort: at16(datagram, 2), data: datagram.subarray(8) };
}

/** Ones' complement sum of RFC 1071. */
export function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16));
}
function macText(bytes: Uint8Array): string {
  return Array.from(bytes.subarray(0, 6), (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
function ipBytes(ip: string): Uint8Array {
  return Uint8Array.from(ip.split('.'), Number);
}
function ipText(bytes: Uint8Array): string {
  return bytes.join('.');
}
function u16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value & 0xff);
}
function at16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 8) | bytes[offset + 1]!;
}
function concat(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

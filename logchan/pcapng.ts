// Capture files Wireshark opens (pcapng, draft-ietf-opsawg-pcapng): one section, one Ethernet interface,
// a time stamp in microseconds and the direction with every frame. Encodes, and nothing else.

const BLOCK = { section: 0x0a0d0d0a, interface: 1, packet: 6 } as const;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const LINKTYPE_ETHERNET = 1;
const OPTION = { end: 0, flags: 2, name: 2 } as const;
const DIRECTION_FLAGS = { in: 1, out: 2 } as const;

export type Direction = keyof typeof DIRECTION_FLAGS;

/** What a file begins with. */
export function pcapngHead(interfaceName: string): Uint8Array {
  const section = Buffer.alloc(16);
  section.writeUInt32LE(BYTE_ORDER_MAGIC, 0);
  section.writeUInt16LE(1, 4);
  section.writeBigInt64LE(-1n, 8); // length of the section: not said
  const about = Buffer.alloc(8);
  about.writeUInt16LE(LINKTYPE_ETHERNET, 0);
  const name = option(OPTION.name, Buffer.from(interfaceName));
  return Buffer.concat([
    block(BLOCK.section, section),
    block(BLOCK.interface, Buffer.concat([about, name, option(OPTION.end, Buffer.alloc(0))])),
  ]);
}

/** One frame, Ethernet header included. */
export function pcapngPacket(frame: Uint8Array, direction: Direction, timeUs: number): Uint8Array {
  const head = Buffer.alloc(20);
  head.writeUInt32LE(Math.floor(timeUs / 2 ** 32), 4);
  head.writeUInt32LE(Math.floor(timeUs) % 2 ** 32, 8);
  head.writeUInt32LE(frame.length, 12);
  head.writeUInt32LE(frame.length, 16);
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE(DIRECTION_FLAGS[direction], 0);
  const options = [option(OPTION.flags, flags), option(OPTION.end, Buffer.alloc(0))];
  return block(BLOCK.packet, Buffer.concat([head, padded(frame), ...options]));
}

function block(type: number, body: Uint8Array): Uint8Array {
  const out = Buffer.alloc(body.length + 12);
  out.writeUInt32LE(type, 0);
  out.writeUInt32LE(out.length, 4);
  out.set(body, 8);
  out.writeUInt32LE(out.length, out.length - 4);
  return out;
}

function option(code: number, value: Uint8Array): Uint8Array {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(code, 0);
  head.writeUInt16LE(value.length, 2);
  return Buffer.concat([head, padded(value)]);
}

/** Everything in a file is a multiple of four bytes. */
function padded(bytes: Uint8Array): Uint8Array {
  const out = Buffer.alloc((bytes.length + 3) & ~3);
  out.set(bytes);
  return out;
}

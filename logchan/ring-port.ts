// Raw Ethernet through the addon: frames are read where the kernel put them and written where it
// takes them from. Bound to one interface; needs CAP_NET_RAW and nothing else.
import { constants } from 'node:os';
import {
  lookUpInterface,
  type PacketRing,
  PacketRing as PacketRingClass,
} from '../native/index.ts';
import { assert, LogchanError } from './errors.ts';
import { ETHERTYPE, FRAME_BYTES_BASE, FRAME_BYTES_MAX, IN_FLIGHT_FRAMES_MAX } from './limits.ts';
import { formatMac, parseMac } from './mac.ts';
import {
  type LinkState,
  type Port,
  type PortCounters,
  type PortHandler,
  portCounters,
} from './port.ts';

const ETHERNET_HEADER_BYTES = 14;
const SOURCE_AT = -8;
const BROADCAST = new Uint8Array(6).fill(0xff);

const SEND_SLOTS = 64;
/** About 8 and 19 MiB of kernel memory: what a busy event loop of 10 ms may miss and more. */
const RECEIVE_SLOTS = { standard: 4096, jumbo: 2048 };
assert(IN_FLIGHT_FRAMES_MAX < RECEIVE_SLOTS.jumbo, 'the ring holds all that may be under way');
const STANDARD_FRAME_BYTES = 1500;
/** An interface that was pulled out (USB, hot plug) is looked for this often. */
const REOPEN_MS = 500;

export interface RingPortOptions {
  interface: string;
  /** Only this board may speak to us; otherwise whoever has the pairing key. */
  peer?: string;
  /** A card that is not there is a link without carrier, and looked for; else `start` throws. */
  mayBeAbsent?: boolean;
}

type Shared = ReturnType<PacketRing['start']>;

export class RingPort implements Port {
  readonly name: string;
  private readonly interfaceName: string;
  private readonly peer: Uint8Array | undefined;
  private readonly mayBeAbsent: boolean;
  private readonly count = portCounters();
  private handler: PortHandler | undefined;
  private ring: PacketRing | undefined;
  private shared: Shared | undefined;
  private received: Uint8Array = new Uint8Array(0);
  private staging: Uint8Array = new Uint8Array(0);
  private slots: Uint8Array[] = [];
  private destination: Uint8Array;
  /** Slots from `first` on hold frames not yet sent, `waiting` of them. */
  private first = 0;
  private waiting = 0;
  /** Where the frame now in frame() begins. */
  private frameAt = 0;
  /** Size the receive slots were made for. */
  private slotBytes = 0;
  private link: LinkState = { up: false, frameBytesMax: 0 };
  private reopenTimer: NodeJS.Timeout | undefined;

  constructor(options: RingPortOptions) {
    this.interfaceName = options.interface;
    this.peer = options.peer === undefined ? undefined : parseMac(options.peer);
    this.mayBeAbsent = options.mayBeAbsent ?? false;
    this.destination = this.peer ?? BROADCAST;
    this.name = options.interface;
  }

  start(handler: PortHandler): LinkState {
    assert(this.handler === undefined, 'a port starts once');
    this.handler = handler;
    this.link = { up: false, frameBytesMax: FRAME_BYTES_BASE };
    if (this.mayBeAbsent && lookUpInterface(this.interfaceName) === null) {
      this.lookAgain();
      return this.link;
    }
    try {
      this.open();
    } catch (error) {
      this.handler = undefined;
      throw inWords(error, this.interfaceName);
    }
    this.link = this.readLink();
    this.cutSlots();
    return this.link;
  }

  /** Our own address, for people. */
  get mac(): string {
    return formatMac(this.ring?.interface?.mac ?? new Uint8Array(6));
  }

  private open(): void {
    // Looked up before: making a ring and closing it again holds up the event loop, by up to a second
    // on a busy host. Where there is no interface, the ring says so.
    const jumbo = (lookUpInterface(this.interfaceName)?.mtu ?? 0) > STANDARD_FRAME_BYTES;
    this.slotBytes = jumbo ? FRAME_BYTES_MAX : STANDARD_FRAME_BYTES;
    const ring = new PacketRingClass({
      interface: this.interfaceName,
      ethertype: ETHERTYPE,
      payloadBytesMax: this.slotBytes,
      receiveSlots: jumbo ? RECEIVE_SLOTS.jumbo : RECEIVE_SLOTS.standard,
      sendSlots: SEND_SLOTS,
      ...(this.peer === undefined ? {} : { sender: this.peer }),
    });
    this.shared = ring.start({
      frames: (count) => this.frames(count),
      writable: () => this.writable(),
      link: () => this.linkNews(),
    });
    this.ring = ring;
    this.received = new Uint8Array(this.shared.ring);
    this.staging = new Uint8Array(this.shared.staging);
    this.first = 0;
    this.waiting = 0;
    ring.setDestination(this.destination);
  }

  private frames(count: number): void {
    const { handler, received } = this;
    const table = this.shared?.frames;
    if (handler === undefined || table === undefined) return;
    this.count.received += count;
    for (let i = 0; i < count; i++) {
      this.frameAt = table[2 * i] as number;
      handler.frame(received, this.frameAt, this.frameAt + (table[2 * i + 1] as number));
      // A handler may have closed this port, or the link news reopened it.
      if (this.received !== received) return;
    }
    handler.batchEnd();
  }

  slot(): Uint8Array | undefined {
    const { shared } = this;
    if (shared === undefined || this.waiting === SEND_SLOTS) return undefined;
    return this.slots[(this.first + this.waiting) % SEND_SLOTS];
  }

  /** A view of every slot, made once: a slot is asked for a hundred thousand times a second. */
  private cutSlots(): void {
    const stride = this.shared?.sendStride ?? 0;
    this.slots = Array.from({ length: SEND_SLOTS }, (_, i) => {
      const payload = i * stride + ETHERNET_HEADER_BYTES;
      return this.staging.subarray(payload, payload + this.link.frameBytesMax);
    });
  }

  queue(bytes: number): void {
    const { shared } = this;
    assert(shared !== undefined && this.waiting < SEND_SLOTS, 'queue without a slot');
    shared.lengths[(this.first + this.waiting) % SEND_SLOTS] = bytes;
    this.waiting++;
    this.count.sent++;
  }

  flush(): void {
    const { ring } = this;
    if (ring === undefined || this.waiting === 0) return;
    const sent = ring.send(this.first, this.waiting);
    this.first = (this.first + sent) % SEND_SLOTS;
    this.waiting -= sent;
  }

  private writable(): void {
    this.flush();
    if (this.waiting === 0) this.handler?.writable();
  }

  adoptSender(): void {
    if (this.peer !== undefined) return;
    const at = this.frameAt + SOURCE_AT;
    this.address(this.received.slice(at, at + BROADCAST.length));
  }

  forgetPeer(): void {
    if (this.peer === undefined) this.address(BROADCAST);
  }

  private address(mac: Uint8Array): void {
    this.destination = mac;
    this.ring?.setDestination(mac);
  }

  private readLink(): LinkState {
    const now = this.ring?.interface;
    if (now === undefined || now === null)
      return { up: false, frameBytesMax: this.link.frameBytesMax };
    return { up: now.up, frameBytesMax: Math.min(now.mtu, this.slotBytes) };
  }

  private linkNews(): void {
    const now = this.ring?.interface;
    // Frames of the new size do not fit the old slots; what the old ring still holds comes again.
    const grown = (now?.mtu ?? 0) > STANDARD_FRAME_BYTES && this.slotBytes === STANDARD_FRAME_BYTES;
    if (now === undefined || now === null || grown) this.reopen();
    const link = this.readLink();
    const same = link.up === this.link.up && link.frameBytesMax === this.link.frameBytesMax;
    this.link = link;
    this.cutSlots();
    if (same) return;
    this.handler?.link(link);
  }

  private reopen(): void {
    this.shut();
    try {
      this.open();
    } catch {
      // Gone, for now: the link is down until the interface is back.
      this.lookAgain();
    }
  }

  private lookAgain(): void {
    this.reopenTimer = setTimeout(() => this.linkNews(), REOPEN_MS);
  }

  private shut(): void {
    if (this.ring === undefined) return;
    this.addCounters(this.ring);
    this.ring.close();
    this.ring = undefined;
    this.shared = undefined;
    this.received = new Uint8Array(0);
    this.staging = new Uint8Array(0);
  }

  private addCounters(ring: PacketRing): void {
    const { overrun, oversized, foreign, unsent } = ring.counters();
    this.count.overrun += overrun;
    this.count.oversized += oversized;
    this.count.foreign += foreign;
    this.count.unsent += unsent;
  }

  counters(): PortCounters {
    const now = this.ring?.counters();
    if (now === undefined) return { ...this.count };
    const { received, sent, overrun, oversized, foreign, unsent } = this.count;
    return {
      received,
      sent,
      overrun: overrun + now.overrun,
      oversized: oversized + now.oversized,
      foreign: foreign + now.foreign,
      unsent: unsent + now.unsent,
    };
  }

  close(): void {
    this.handler = undefined;
    clearTimeout(this.reopenTimer);
    this.shut();
  }
}

function inWords(error: unknown, interfaceName: string): unknown {
  if (!(error instanceof Error) || !('errno' in error)) return error;
  const { ENODEV, EMEDIUMTYPE, EPERM } = { EMEDIUMTYPE: 124, ...constants.errno };
  switch (error.errno) {
    case EPERM:
      return new LogchanError('E_PERMISSION', `raw Ethernet on ${interfaceName} needs CAP_NET_RAW`);
    case ENODEV:
      return new LogchanError('E_INTERFACE', `there is no interface ${interfaceName}`);
    case EMEDIUMTYPE:
      return new LogchanError('E_INTERFACE', error.message);
    default:
      return new LogchanError('E_SYSTEM', error.message);
  }
}

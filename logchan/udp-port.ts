// Frames as UDP datagrams between two addresses: a path over a network that others use, too (the front LAN).
// Needs no rights and passes every managed switch. Slower than the ring: one call a frame.
//
// The address may come later than the board, and go: then the port is a link without carrier and tries again.
// Without a carrier on the interface it is one, too. UDP's own errors (nobody listens over there, no route)
// are a frame that was not sent, no more.
import { createSocket, type Socket } from 'node:dgram';
import { isIPv4 } from 'node:net';
import { lookUpInterface } from '../native/index.ts';
import { assert, LogchanError } from './errors.ts';
import { FRAME_BYTES_BASE, FRAME_BYTES_MAX } from './limits.ts';
import {
  type LinkState,
  type Port,
  type PortCounters,
  type PortHandler,
  portCounters,
} from './port.ts';

export interface UdpPortOptions {
  /** The interface that has the address, for its carrier and size. */
  interface: string;
  address: string;
  peer: string;
  /** Of both boards. */
  port: number;
}

/** What IPv4 and UDP put in front of a frame. */
const HEADER_BYTES = 28;
const SEND_SLOTS = 64;
/** An address that is not there is tried for, and the carrier looked at, this often. */
const LOOK_MS = 500;
const RECEIVE_BUFFER_BYTES = 4 << 20;
const NO_LINK: LinkState = { up: false, frameBytesMax: FRAME_BYTES_BASE };

export class UdpPort implements Port {
  readonly name: string;
  trouble: string | undefined;
  private readonly options: UdpPortOptions;
  private readonly count = portCounters();
  private readonly slots: Uint8Array[];
  /** Slots from `first` on are being sent, `waiting` of them. */
  private first = 0;
  private waiting = 0;
  private wasFull = false;
  private handler: PortHandler | undefined;
  private socket: Socket | undefined;
  private isBound = false;
  private hasStarted = false;
  private link: LinkState = NO_LINK;
  private timer: NodeJS.Timeout | undefined;
  private turn: NodeJS.Immediate | undefined;

  constructor(options: UdpPortOptions) {
    for (const address of [options.address, options.peer]) {
      if (isIPv4(address)) continue;
      throw new LogchanError('E_ADDRESS', `"${address}" is not an IPv4 address`);
    }
    this.options = options;
    this.name = `${options.peer} over ${options.interface}`;
    this.slots = Array.from({ length: SEND_SLOTS }, () => new Uint8Array(FRAME_BYTES_MAX));
  }

  start(handler: PortHandler): LinkState {
    assert(this.handler === undefined, 'a port starts once');
    this.handler = handler;
    this.timer = setInterval(() => this.look(), LOOK_MS);
    this.open();
    this.link = this.readLink();
    this.hasStarted = true;
    return this.link;
  }

  private open(): void {
    // Without this each frame would wait a turn for a name that is none.
    const lookup = (
      host: string,
      _: unknown,
      done: (error: null, address: string, family: number) => void,
    ) => done(null, host, 4);
    const socket = createSocket({ type: 'udp4', lookup: lookup as never });
    this.socket = socket;
    socket.on('message', (bytes, from) => this.receive(bytes, from.address));
    socket.on('error', (error) => this.failed(socket, error));
    socket.bind({ address: this.options.address, port: this.options.port, exclusive: true }, () => {
      if (this.socket !== socket) return;
      this.isBound = true;
      this.trouble = undefined;
      widen(socket);
      this.look();
    });
  }

  /** No such address, as yet; or the port is taken. */
  private failed(socket: Socket, error: Error): void {
    if (this.socket !== socket) return;
    if (this.isBound) {
      this.count.unsent++;
      return;
    }
    this.trouble = error.message;
    this.shut();
  }

  private look(): void {
    // Bound at once, mostly: then start() says it.
    if (this.handler === undefined || !this.hasStarted) return;
    if (this.socket === undefined) this.open();
    const link = this.readLink();
    const { up, frameBytesMax } = this.link;
    if (link.up === up && link.frameBytesMax === frameBytesMax) return;
    this.link = link;
    this.handler.link(link);
  }

  private readLink(): LinkState {
    const found = lookUpInterface(this.options.interface);
    if (found === null || !this.isBound) return { ...this.link, up: false };
    const bytes = Math.min(FRAME_BYTES_MAX, found.mtu - HEADER_BYTES);
    return { up: found.up, frameBytesMax: Math.max(FRAME_BYTES_BASE, bytes) };
  }

  private receive(bytes: Buffer, from: string): void {
    const { handler } = this;
    if (handler === undefined) return;
    if (from !== this.options.peer) {
      this.count.foreign++;
      return;
    }
    this.count.received++;
    handler.frame(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
    // Datagrams come one by one; those of one turn are a batch.
    this.turn ??= setImmediate(() => {
      this.turn = undefined;
      this.handler?.batchEnd();
    });
  }

  slot(): Uint8Array | undefined {
    if (!this.isBound || this.handler === undefined) return undefined;
    this.wasFull = this.waiting === SEND_SLOTS;
    if (this.wasFull) return undefined;
    const slot = this.slots[(this.first + this.waiting) % SEND_SLOTS] as Uint8Array;
    return slot.subarray(0, this.link.frameBytesMax);
  }

  queue(bytes: number): void {
    const { socket } = this;
    assert(socket !== undefined && this.waiting < SEND_SLOTS, 'queue without a slot');
    const slot = this.slots[(this.first + this.waiting) % SEND_SLOTS] as Uint8Array;
    this.waiting++;
    socket.send(slot, 0, bytes, this.options.port, this.options.peer, (error) => {
      if (error === null) this.count.sent++;
      else this.count.unsent++;
      if (this.socket === socket) this.left();
    });
  }

  private left(): void {
    this.waiting--;
    this.first = (this.first + 1) % SEND_SLOTS;
    if (!this.wasFull || this.waiting > 0) return;
    this.wasFull = false;
    this.handler?.writable();
  }

  flush(): void {}
  adoptSender(): void {}
  forgetPeer(): void {}

  counters(): PortCounters {
    return { ...this.count };
  }

  private shut(): void {
    const { socket } = this;
    this.socket = undefined;
    this.isBound = false;
    this.first = 0;
    this.waiting = 0;
    socket?.close();
  }

  close(): void {
    this.handler = undefined;
    clearInterval(this.timer);
    clearImmediate(this.turn);
    this.shut();
  }
}

/** The kernel's default holds few frames, and allows as much more as the host says. */
function widen(socket: Socket): void {
  try {
    socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
  } catch {
    // What there is does.
  }
}

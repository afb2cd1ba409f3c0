// Frames in IPv4 packets of protocol 253, for benches where the log link is routed. Through the npm
// package raw-socket: one packet an event, so slower than the ring, but it needs no Ethernet between
// the boards. The peer's address must be known. Needs CAP_NET_RAW; main thread only.
import { createRequire } from 'node:module';
import { isIPv4 } from 'node:net';
import { lookUpInterface } from '../native/index.ts';
import { assert, LogchanError } from './errors.ts';
import { FRAME_BYTES_BASE, FRAME_BYTES_MAX, IP_PROTOCOL } from './limits.ts';
import {
  type LinkState,
  type Port,
  type PortCounters,
  type PortHandler,
  portCounters,
} from './port.ts';

export interface IpPortOptions {
  /** The other board's IPv4 address. */
  peer: string;
  /** Send and receive on this interface only. */
  interface?: string;
}

/** What we use of raw-socket, which comes without types. */
interface RawSocket {
  on(event: 'message', listener: (packet: Buffer, source: string) => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
  on(event: 'close', listener: () => void): void;
  send(
    buffer: Buffer,
    offset: number,
    length: number,
    address: string,
    after: (error: Error | null) => void,
  ): void;
  setOption(level: number, option: number, value: number | Buffer, length?: number): void;
  close(): void;
}

interface RawSocketModule {
  createSocket(options: { protocol: number; bufferSize: number }): RawSocket;
}

const IP_HEADER_BYTES = 20;
/** Without an interface to ask: plain Ethernet. */
const MTU_USUAL = 1500;
const PACKET_BYTES_MAX = 0x10000;
/** Packets handed to raw-socket and not yet sent. */
const WAITING_MAX = 256;
const REOPEN_MS = 100;
const RECEIVE_BUFFER_BYTES = 8 << 20;

// Linux's numbers; raw-socket has names for a few only.
const SOL_IP = 0;
const IP_MTU_DISCOVER = 10;
const IP_PMTUDISC_DO = 2;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_BINDTODEVICE = 25;
const SO_RCVBUFFORCE = 33;

/**
 * raw-socket's own hold on its JavaScript side is weak: an open port that nobody else holds would be
 * collected with its socket, and fall silent.
 */
const openPorts = new Set<IpPort>();

export class IpPort implements Port {
  readonly name: string;
  private readonly options: IpPortOptions;
  private readonly count = portCounters();
  private readonly scratch: Buffer = Buffer.alloc(FRAME_BYTES_MAX);
  private handler: PortHandler | undefined;
  private module: RawSocketModule | undefined;
  private socket: RawSocket | undefined;
  private waiting = 0;
  private frameBytesMax = FRAME_BYTES_BASE;
  private reopenTimer: NodeJS.Timeout | undefined;
  private turn: NodeJS.Immediate | undefined;

  constructor(options: IpPortOptions) {
    if (!isIPv4(options.peer)) {
      throw new LogchanError('E_ADDRESS', `"${options.peer}" is not an IPv4 address`);
    }
    this.options = options;
    this.name = `${options.peer}${options.interface === undefined ? '' : ` over ${options.interface}`}`;
  }

  start(handler: PortHandler): LinkState {
    assert(this.handler === undefined, 'a port starts once');
    this.module = loadRawSocket();
    this.frameBytesMax = Math.min(FRAME_BYTES_MAX, mtuOf(this.options.interface) - IP_HEADER_BYTES);
    this.open(this.module);
    this.handler = handler;
    openPorts.add(this);
    return { up: true, frameBytesMax: this.frameBytesMax };
  }

  private open(module: RawSocketModule): void {
    const { interface: interfaceName } = this.options;
    let socket: RawSocket;
    try {
      socket = module.createSocket({ protocol: IP_PROTOCOL, bufferSize: PACKET_BYTES_MAX });
    } catch (error) {
      throw new LogchanError('E_PERMISSION', `raw IP needs CAP_NET_RAW: ${words(error)}`);
    }
    socket.on('message', (packet, source) => this.receive(packet, source));
    // Single packets that could not be received or sent; the next may well be.
    socket.on('error', () => {
      this.count.unsent++;
    });
    socket.on('close', () => this.closed(socket));
    try {
      socket.setOption(SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
      if (interfaceName !== undefined) {
        const name = Buffer.from(`${interfaceName}\0`);
        socket.setOption(SOL_SOCKET, SO_BINDTODEVICE, name, name.length);
      }
    } catch (error) {
      socket.close();
      throw new LogchanError('E_INTERFACE', `${this.name}: ${words(error)}`);
    }
    widen(socket);
    this.socket = socket;
  }

  /** raw-socket closes itself on some errors, for instance when an interface goes down. */
  private closed(socket: RawSocket): void {
    if (this.socket !== socket) return;
    this.socket = undefined;
    this.waiting = 0;
    if (this.handler !== undefined) this.reopenSoon();
  }

  private reopenSoon(): void {
    this.reopenTimer = setTimeout(() => {
      if (this.handler === undefined || this.module === undefined) return;
      try {
        this.open(this.module);
        this.handler.writable();
      } catch {
        this.reopenSoon();
      }
    }, REOPEN_MS);
  }

  private receive(packet: Buffer, source: string): void {
    const { handler } = this;
    if (handler === undefined) return;
    const headerBytes = ((packet[0] ?? 0) & 0x0f) * 4;
    if (source !== this.options.peer || packet.length < headerBytes) {
      this.count.foreign++;
      return;
    }
    this.count.received++;
    const bytes = new Uint8Array(packet.buffer, packet.byteOffset, packet.length);
    handler.frame(bytes, headerBytes, bytes.length);
    handler.batchEnd();
    this.finishTurn();
  }

  /**
   * raw-socket calls us without Node's notice: promises resolved in a handler would wait for some
   * other event before they go on, perhaps for ever. A turn of our own is such an event.
   */
  private finishTurn(): void {
    this.turn ??= setImmediate(() => {
      this.turn = undefined;
    });
  }

  slot(): Uint8Array | undefined {
    if (this.socket === undefined || this.waiting >= WAITING_MAX) return undefined;
    return this.scratch.subarray(0, this.frameBytesMax);
  }

  queue(bytes: number): void {
    const { socket } = this;
    assert(socket !== undefined, 'queue without a slot');
    this.waiting++;
    // raw-socket sends in a later turn: the packet needs bytes of its own.
    const packet = Buffer.from(this.scratch.subarray(0, bytes));
    socket.send(packet, 0, bytes, this.options.peer, (error) => {
      if (this.socket !== socket) return;
      this.waiting--;
      if (error === null) this.count.sent++;
      else this.count.unsent++;
      if (this.waiting > 0) return;
      this.handler?.writable();
      this.finishTurn();
    });
  }

  flush(): void {}
  adoptSender(): void {}
  forgetPeer(): void {}

  counters(): PortCounters {
    return { ...this.count };
  }

  close(): void {
    openPorts.delete(this);
    this.handler = undefined;
    clearTimeout(this.reopenTimer);
    clearImmediate(this.turn);
    const { socket } = this;
    this.socket = undefined;
    socket?.close();
  }
}

function loadRawSocket(): RawSocketModule {
  try {
    return createRequire(import.meta.url)('raw-socket') as RawSocketModule;
  } catch (error) {
    const why = words(error).split('\n')[0];
    throw new LogchanError('E_MODULE', `the package raw-socket is not usable here: ${why}`);
  }
}

function mtuOf(interfaceName: string | undefined): number {
  if (interfaceName === undefined) return MTU_USUAL;
  const found = lookUpInterface(interfaceName);
  if (found === null)
    throw new LogchanError('E_INTERFACE', `there is no interface ${interfaceName}`);
  return found.mtu;
}

/** The kernel's default receive buffer holds few packets; without CAP_NET_ADMIN we take less. */
function widen(socket: RawSocket): void {
  try {
    socket.setOption(SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
  } catch {
    socket.setOption(SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
  }
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

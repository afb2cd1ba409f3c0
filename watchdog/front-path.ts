// The front LAN as a path: the same frames as UDP datagrams to the peer's address. UDP needs no
// rights and passes every managed switch; authenticity and order come from the frame.
//
// What has come is looked for by the owner, every tick, just before it is used: woken for each datagram, a board
// with nothing to do would spend more on waking than on deciding.
import { closeSync } from 'node:fs';
import { watchdog } from '../native/index.ts';
import type { Statement } from './arbiter-types.ts';
import { type Authentic, FRAME_BYTES_MAX, FrameReader, type PathKeys } from './path-frame.ts';
import type { Extras } from './statement-wire.ts';

/** Unassigned; the configuration may choose another. */
export const FRONT_PORT = 47608;

export interface FrontPathOptions {
  readonly keys: PathKeys;
  readonly authentic?: Authentic;
  readonly bindAddress: string;
  readonly bindPort: number;
  readonly peerAddress: string;
  readonly peerPort: number;
  readonly onStatement: (statement: Statement, extras: Extras) => void;
}

/** In one look: a flood of datagrams must not hold the board. */
const HEARD_MAX = 64;

export class FrontPath {
  readonly reader: FrameReader;
  private readonly options: FrontPathOptions;
  private readonly peer: Buffer;
  private readonly from = Buffer.alloc(4);
  /** One byte more than any frame has: what is longer is seen to be. */
  private readonly bytes = Buffer.alloc(FRAME_BYTES_MAX + 1);
  private fd: number | null = null;
  sent = 0;
  /** Could not be sent: interface down, no route. The next heartbeat tries again. */
  sendFailed = 0;
  foreign = 0;

  constructor(options: FrontPathOptions) {
    this.options = options;
    this.peer = addressOf(options.peerAddress);
    this.reader = new FrameReader(options.keys, options.authentic);
  }

  /** Throws the kernel's error, as Node's own do: no such address yet, or the port is taken. */
  start(): void {
    const { bindAddress, bindPort } = this.options;
    this.fd = watchdog.datagramOpen(addressOf(bindAddress), bindPort);
  }

  get port(): number {
    return this.fd === null ? 0 : watchdog.datagramPort(this.fd);
  }

  /** A sealed statement. */
  say(frame: Buffer): void {
    if (this.fd === null) return;
    if (watchdog.datagramSay(this.fd, this.peer, this.options.peerPort, frame)) this.sent += 1;
    else this.sendFailed += 1;
  }

  /** Takes what has come since the last call. */
  hear(): void {
    for (let n = 0; n < HEARD_MAX && this.fd !== null; n++) {
      const length = watchdog.datagramHear(this.fd, this.bytes, this.from);
      if (length < 0) return;
      this.take(this.bytes.subarray(0, length));
    }
  }

  stop(): void {
    if (this.fd !== null) closeSync(this.fd);
    this.fd = null;
  }

  private take(bytes: Buffer): void {
    // The tag is what counts; the address is only worth a counter when a stranger writes.
    if (!this.from.equals(this.peer)) this.foreign += 1;
    const read = this.reader.read(bytes);
    if (read.ok && read.kind === 'statement') this.options.onStatement(read.statement, read.extras);
  }
}

function addressOf(ipv4: string): Buffer {
  return Buffer.from(ipv4.split('.').map(Number));
}

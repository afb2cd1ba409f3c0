// The front LAN as a path: the same frames as UDP datagrams to the peer's address. UDP needs no
// rights and passes every managed switch; authenticity and order come from the frame.
import { createSocket, type Socket } from 'node:dgram';
import type { Statement } from './arbiter-types.ts';
import { type Authentic, FrameReader, type PathKeys } from './path-frame.ts';
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

export class FrontPath {
  readonly reader: FrameReader;
  private readonly options: FrontPathOptions;
  private socket: Socket | null = null;
  sent = 0;
  /** Could not be sent: interface down, no route. The next heartbeat tries again. */
  sendFailed = 0;
  foreign = 0;

  constructor(options: FrontPathOptions) {
    this.options = options;
    this.reader = new FrameReader(options.keys, options.authentic);
  }

  async start(): Promise<void> {
    const { bindAddress, bindPort } = this.options;
    const socket = createSocket({ type: 'udp4', reuseAddr: false });
    socket.on('message', (bytes, from) => this.take(bytes, from.address));
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(bindPort, bindAddress, () => {
        socket.removeListener('error', reject);
        resolve();
      });
    });
    socket.on('error', () => {
      this.sendFailed += 1;
    });
    this.socket = socket;
  }

  get port(): number {
    return this.socket?.address().port ?? 0;
  }

  /** A sealed statement. */
  say(frame: Uint8Array): void {
    const { socket } = this;
    if (socket === null) return;
    const { peerPort, peerAddress } = this.options;
    socket.send(frame, peerPort, peerAddress, (error) => {
      if (error !== null) this.sendFailed += 1;
      else this.sent += 1;
    });
  }

  async stop(): Promise<void> {
    const { socket } = this;
    this.socket = null;
    if (socket !== null) await new Promise<void>((resolve) => socket.close(() => resolve()));
  }

  private take(bytes: Uint8Array, from: string): void {
    // The tag is what counts; the address is only worth a counter when a stranger writes.
    if (from !== this.options.peerAddress) this.foreign += 1;
    const read = this.reader.read(bytes);
    if (read.ok && read.kind === 'statement') this.options.onStatement(read.statement, read.extras);
  }
}

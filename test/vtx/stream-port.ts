// A cable between two processes: frames of the log channel over a UNIX socket, each with its length
// before it. Needs no network, so it works in a machine that has just booted. What a killed process had
// handed to the kernel still arrives; the last frame may be cut, and is dropped.
import { connect, createServer, type Socket } from 'node:net';
import {
  type LinkState,
  type Port,
  type PortCounters,
  type PortHandler,
  portCounters,
} from '../../logchan/port.ts';

const FRAME_BYTES = 1500;

export class StreamPort implements Port {
  readonly name = 'socket';
  /** Everything the other end had said is here, and it is gone. */
  readonly ended: Promise<void>;
  private readonly socket: Socket;
  private readonly scratch = new Uint8Array(FRAME_BYTES);
  private readonly count = portCounters();
  private handler: PortHandler | undefined;
  private rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.socket = socket;
    this.ended = new Promise((resolve) => socket.once('close', () => resolve()));
    // A killed peer is no error here: whoever waits for `ended` knows.
    socket.on('error', () => {});
  }

  /** Waits for the other board at `path`; `listening` is called when it may come. */
  static async listen(path: string, listening: () => void): Promise<StreamPort> {
    const server = createServer();
    server.listen(path, listening);
    const socket = await new Promise<Socket>((resolve) => server.once('connection', resolve));
    server.close();
    return new StreamPort(socket);
  }

  static async connect(path: string): Promise<StreamPort> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new StreamPort(socket);
  }

  start(handler: PortHandler): LinkState {
    this.handler = handler;
    this.socket.on('data', (bytes) => this.receive(bytes));
    return { up: true, frameBytesMax: FRAME_BYTES };
  }

  private receive(bytes: Buffer): void {
    let all = Buffer.concat([this.rest, bytes]);
    while (all.length >= 2 && all.length >= 2 + all.readUInt16LE(0)) {
      const end = 2 + all.readUInt16LE(0);
      const frame = Uint8Array.from(all.subarray(2, end));
      all = all.subarray(end);
      this.count.received++;
      this.handler?.frame(frame, 0, frame.length);
    }
    this.rest = all;
    this.handler?.batchEnd();
  }

  slot(): Uint8Array | undefined {
    return this.handler === undefined || this.socket.destroyed ? undefined : this.scratch;
  }

  queue(bytes: number): void {
    const frame = Buffer.alloc(2 + bytes);
    frame.writeUInt16LE(bytes);
    frame.set(this.scratch.subarray(0, bytes), 2);
    this.count.sent++;
    this.socket.write(frame);
  }

  flush(): void {}
  adoptSender(): void {}
  forgetPeer(): void {}

  counters(): PortCounters {
    return { ...this.count };
  }

  close(): void {
    this.handler = undefined;
    this.socket.destroy();
  }
}

// Unix sockets by path, for serial lines and network cables: listen, or connect to who listens.
import { existsSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { HostError, systemWords } from './errors.ts';

/** Last words a peer may still read after we closed. */
const LINGER_MS = 500;

/** How soon a socket file that was deleted is made again. */
const LOOK_MS = 250;

/** sun_path with its terminating zero. */
const PATH_BYTES_MAX = 107;

/** One peer after the other: who comes while another is there waits, unread, until that one left. */
export class PeerQueue {
  /** The one that talks. */
  peer: Socket | undefined;
  /** Why nobody can come, in words. Who talks, talks on. */
  trouble: string | null = null;
  private readonly path: string;
  private readonly attach: (peer: Socket) => void;
  private readonly waiting: Socket[] = [];
  private server!: Server;
  private timer: NodeJS.Timeout | undefined;
  private isClosed = false;

  /** `attach` prepares a peer whose turn it is. Throws a HostError as listenAt does. */
  static async listen(path: string, attach: (peer: Socket) => void): Promise<PeerQueue> {
    const queue = new PeerQueue(path, attach);
    await queue.listen();
    queue.lookLater();
    return queue;
  }

  private constructor(path: string, attach: (peer: Socket) => void) {
    this.path = path;
    this.attach = attach;
  }

  private async listen(): Promise<void> {
    this.server = await listenAt(this.path, (socket) => this.add(socket, this.attach));
  }

  private lookLater(): void {
    this.timer = setTimeout(() => void this.look(), LOOK_MS);
    this.timer.unref();
  }

  /** Somebody may have deleted the socket file: it is made again, so that the next one finds it. */
  private async look(): Promise<void> {
    if (this.trouble !== null || !existsSync(this.path)) {
      this.trouble = `socket ${this.path} was deleted`;
      try {
        // First: it takes the file of its name with it.
        this.server.close();
        await this.listen();
        this.trouble = null;
      } catch (error) {
        this.trouble = (error as Error).message;
      }
    }
    if (this.isClosed) this.server.close();
    else this.lookLater();
  }

  /** May be called twice. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    for (const socket of this.waiting.splice(0)) socket.destroy();
    const { peer } = this;
    peer?.destroySoon();
    // What it was still to get may never be read.
    const timer = setTimeout(() => peer?.destroy(), LINGER_MS);
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
    clearTimeout(timer);
  }

  private add(socket: Socket, attach: (peer: Socket) => void): void {
    socket.on('error', () => {});
    socket.on('close', () => {
      if (socket === this.peer) this.peer = undefined;
      else if (this.waiting.includes(socket)) this.waiting.splice(this.waiting.indexOf(socket), 1);
      const next = this.peer === undefined ? this.waiting.shift() : undefined;
      if (next !== undefined) this.begin(next, attach);
    });
    if (this.peer === undefined) this.begin(socket, attach);
    else this.waiting.push(socket);
  }

  private begin(socket: Socket, attach: (peer: Socket) => void): void {
    this.peer = socket;
    attach(socket);
  }
}

/** Listens at `path`, which must be free; what a dead program left there is removed. */
async function listenAt(path: string, onPeer: (peer: Socket) => void): Promise<Server> {
  checkPath(path);
  if (isSocket(path)) {
    const peer = await connectTo(path);
    if (peer !== undefined) {
      peer.destroy();
      throw new HostError('E_SOCKET', `socket ${path}: is in use by another program`);
    }
    unlinkSync(path);
  }
  return await new Promise((resolve, reject) => {
    const server = createServer(onPeer);
    server.once('error', (error) => reject(inWords(path, error)));
    server.listen(path, () => resolve(server));
  });
}

/** A connection to whoever listens at `path`; undefined: nobody does. */
export async function connectTo(path: string): Promise<Socket | undefined> {
  checkPath(path);
  return await new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(undefined);
      else reject(inWords(path, error));
    });
  });
}

function checkPath(path: string): void {
  if (Buffer.byteLength(path) <= PATH_BYTES_MAX) return;
  throw new HostError(
    'E_SOCKET',
    `socket ${path}: the path is longer than ${PATH_BYTES_MAX} bytes`,
  );
}

function isSocket(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return false;
  if (stat.isSocket()) return true;
  throw new HostError('E_SOCKET', `socket ${path}: is a file, not a socket`);
}

function inWords(path: string, error: unknown): HostError {
  // Binding in a missing folder is told as a lack of rights.
  if (!existsSync(dirname(path))) error = { code: 'ENOENT' };
  return new HostError('E_SOCKET', `socket ${path}: ${systemWords(error)}`);
}

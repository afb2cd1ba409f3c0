// Unix sockets by path, for serial lines and network cables: listen, or connect to who listens.
import { lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { HostError, systemWords } from './errors.ts';

/** sun_path with its terminating zero. */
const PATH_BYTES_MAX = 107;

/** Listens at `path`, which must be free; what a dead program left there is removed. */
export async function listenAt(path: string, onPeer: (peer: Socket) => void): Promise<Server> {
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
  return new HostError('E_SOCKET', `socket ${path}: ${systemWords(error)}`);
}

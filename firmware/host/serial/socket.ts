// A Unix socket as a guest's serial line: we listen, one program at a time talks. While nobody does,
// what the guest says is lost, as on a cable that is not plugged in.
import type { Socket } from 'node:net';
import { listenAt } from '../unix-socket.ts';
import type { SerialLine, SerialLineEvents } from './line.ts';
import { UNREAD_BYTES_MAX } from './line.ts';

export async function socketLine(path: string, { onBytes }: SerialLineEvents): Promise<SerialLine> {
  let peer: Socket | undefined;
  let isPaused = false;
  const server = await listenAt(path, (socket) => {
    if (peer !== undefined) {
      socket.end('this serial line is in use\r\n');
      return;
    }
    peer = socket;
    if (isPaused) socket.pause();
    socket.on('data', (bytes) => onBytes(Uint8Array.from(bytes)));
    socket.on('error', () => {});
    socket.on('close', () => {
      peer = undefined;
    });
  });
  return {
    where: path,
    write: (bytes) => {
      if (peer !== undefined && peer.writableLength < UNREAD_BYTES_MAX) peer.write(bytes);
    },
    pause: () => {
      isPaused = true;
      peer?.pause();
    },
    resume: () => {
      isPaused = false;
      peer?.resume();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        peer?.end();
      }),
  };
}

// A Unix socket as a network cable (frame-stream.ts has the format). Whoever comes first listens, the
// second connects: two guests given the same path are wired to each other. When the other end goes,
// the first one waits for the next.
import type { Server, Socket } from 'node:net';
import { connectTo, listenAt } from '../unix-socket.ts';
import { encodeFrame, FrameDecoder } from './frame-stream.ts';
import type { NetLink, NetLinkEvents } from './link.ts';

/** A peer that does not read loses frames beyond this. */
const UNREAD_BYTES_MAX = 4 << 20;

export async function socketLink(path: string, events: NetLinkEvents): Promise<NetLink> {
  let peer: Socket | undefined;
  let server: Server | undefined;
  const plug = (socket: Socket, words: string | undefined) => {
    if (peer !== undefined) {
      socket.destroy();
      return;
    }
    peer = socket;
    attach(socket, events);
    socket.on('close', () => {
      peer = undefined;
      if (words !== undefined) events.onTrouble(words);
    });
  };
  const first = await connectTo(path);
  if (first !== undefined) plug(first, `network socket ${path}: the other end is gone`);
  else server = await listenAt(path, (socket) => plug(socket, undefined));
  return {
    where: path,
    send: (frame) => {
      if (peer !== undefined && peer.writableLength < UNREAD_BYTES_MAX)
        peer.write(encodeFrame(frame));
    },
    close: () =>
      new Promise((resolve) => {
        events = { onFrames: () => {}, onTrouble: () => {} };
        peer?.destroy();
        if (server === undefined) resolve();
        else server.close(() => resolve());
      }),
  };
}

function attach(socket: Socket, events: NetLinkEvents): void {
  const decoder = new FrameDecoder();
  socket.on('error', () => {});
  socket.on('data', (bytes) => {
    const frames = decoder.push(bytes);
    if (frames.length > 0) events.onFrames(frames);
    if (decoder.problem === undefined) return;
    events.onTrouble(`network socket: ${decoder.problem}; disconnected`);
    socket.destroy();
  });
}

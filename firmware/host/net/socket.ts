// A Unix socket as a network cable (frame-stream.ts has the format). Whoever comes first listens, the
// second connects: two guests given the same path are wired to each other. When the other end goes,
// the first one waits for the next.
import type { Socket } from 'node:net';
import { connectTo, PeerQueue } from '../unix-socket.ts';
import { encodeFrame, FrameDecoder } from './frame-stream.ts';
import type { NetLink, NetLinkEvents } from './link.ts';

/** A peer that does not read loses frames beyond this. */
const UNREAD_BYTES_MAX = 4 << 20;

export async function socketLink(path: string, events: NetLinkEvents): Promise<NetLink> {
  const listener = await connectTo(path);
  return listener === undefined
    ? await listeningEnd(path, events)
    : connectedEnd(path, listener, events);
}

async function listeningEnd(path: string, events: NetLinkEvents): Promise<NetLink> {
  const ear = new Ear(events);
  const queue = await PeerQueue.listen(path, (peer) => ear.attach(peer));
  return {
    where: path,
    get trouble() {
      return queue.trouble;
    },
    start: () => ear.start(),
    send: (frame) => send(queue.peer, frame),
    close: () => queue.close(),
  };
}

function connectedEnd(path: string, peer: Socket, events: NetLinkEvents): NetLink {
  const ear = new Ear(events);
  let isClosed = false;
  let trouble: string | null = null;
  ear.attach(peer);
  peer.on('error', () => {});
  peer.on('close', () => {
    if (isClosed) return;
    trouble = `network socket ${path}: the other end is gone`;
    events.onTrouble(trouble);
  });
  return {
    where: path,
    get trouble() {
      return trouble;
    },
    start: () => ear.start(),
    send: (frame) => send(peer, frame),
    close: async () => {
      isClosed = true;
      peer.destroy();
    },
  };
}

function send(peer: Socket | undefined, frame: Uint8Array): void {
  if (!peer?.writable || peer.writableLength >= UNREAD_BYTES_MAX) return;
  peer.write(encodeFrame(frame));
}

class Ear {
  private readonly events: NetLinkEvents;
  private isStarted = false;

  constructor(events: NetLinkEvents) {
    this.events = events;
  }

  start(): void {
    this.isStarted = true;
  }

  attach(peer: Socket): void {
    const { events } = this;
    const decoder = new FrameDecoder();
    peer.on('data', (bytes) => {
      const frames = decoder.push(bytes);
      if (frames.length > 0 && this.isStarted) events.onFrames(frames);
      if (decoder.problem === undefined) return;
      events.onTrouble(`network socket: ${decoder.problem}; disconnected`);
      peer.destroy();
    });
  }
}

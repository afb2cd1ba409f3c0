// A Unix socket as a guest's serial line: we listen, one program at a time talks, others wait their turn.
// While nobody is there, what the guest says is lost, as on a cable that is not plugged in; a guest with flow
// control sees that nobody is ready, and waits.
import { PeerQueue } from '../unix-socket.ts';
import type { SerialLine, SerialLineEvents } from './line.ts';
import { UNREAD_BYTES_MAX, Unread } from './line.ts';

export async function socketLine(path: string, events: SerialLineEvents): Promise<SerialLine> {
  const unread = new Unread(events.onTaken);
  let isPaused = false;
  const queue = await PeerQueue.listen(path, (peer) => {
    unread.wait(0);
    peer.on('data', (bytes) => events.onBytes(Uint8Array.from(bytes)));
    peer.on('drain', () => unread.wait(0));
    peer.on('close', () => {
      if (queue.peer === undefined) unread.nobody();
    });
    if (isPaused) peer.pause();
  });
  unread.nobody();
  return {
    where: path,
    get trouble() {
      return queue.trouble;
    },
    write: (bytes) => {
      const { peer } = queue;
      if (!peer?.writable || peer.writableLength >= UNREAD_BYTES_MAX) return;
      peer.write(bytes);
      if (peer.writableNeedDrain) unread.wait(peer.writableLength);
    },
    pause: () => {
      isPaused = true;
      queue.peer?.pause();
    },
    resume: () => {
      isPaused = false;
      queue.peer?.resume();
    },
    close: () => queue.close(),
  };
}

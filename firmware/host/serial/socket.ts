// A Unix socket as a guest's serial line: we listen, one program at a time talks, others wait their turn.
// While nobody is there, what the guest says is lost, as on a cable that is not plugged in.
import { PeerQueue } from '../unix-socket.ts';
import type { SerialLine, SerialLineEvents } from './line.ts';
import { UNREAD_BYTES_MAX } from './line.ts';

export async function socketLine(path: string, { onBytes }: SerialLineEvents): Promise<SerialLine> {
  let isPaused = false;
  const queue = await PeerQueue.listen(path, (peer) => {
    peer.on('data', (bytes) => onBytes(Uint8Array.from(bytes)));
    if (isPaused) peer.pause();
  });
  return {
    where: path,
    get trouble() {
      return queue.trouble;
    },
    write: (bytes) => {
      const { peer } = queue;
      if (peer?.writable && peer.writableLength < UNREAD_BYTES_MAX) peer.write(bytes);
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

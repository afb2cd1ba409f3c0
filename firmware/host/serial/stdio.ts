// The console of this process as a guest's serial line. A terminal is switched to raw mode, so that
// every key reaches the guest, and back on every way out; Ctrl-] leaves. A pipe is passed as it is.
import { makeRawTerminal, restoreTerminal } from '../../../native/index.ts';
import { splitAtLeave } from './escape.ts';
import { type SerialLine, type SerialLineEvents, Unread } from './line.ts';

export function stdioLine({ onBytes, onLeave, onTaken }: SerialLineEvents): SerialLine {
  const { stdin, stdout } = process;
  const isTerminal = stdin.isTTY === true;
  const unread = new Unread(onTaken);
  const drained = () => unread.wait(0);
  let isClosed = false;
  const settings = isTerminal ? makeRawTerminal(stdin.fd) : undefined;
  const restore = () => {
    if (settings === undefined) return;
    try {
      restoreTerminal(stdin.fd, settings);
    } catch {
      // The terminal itself is gone.
    }
  };
  const take = (bytes: Buffer) => {
    const { forGuest, leaves } = isTerminal
      ? splitAtLeave(bytes)
      : { forGuest: bytes, leaves: false };
    if (forGuest.length > 0) onBytes(Uint8Array.from(forGuest));
    if (leaves) onLeave();
  };
  // The reader of our output went away: the guest goes on, unheard.
  const ignore = () => {};
  process.on('exit', restore);
  stdin.on('data', take);
  stdin.on('error', ignore);
  stdout.on('error', ignore);
  stdout.on('drain', drained);
  return {
    where: undefined,
    trouble: null,
    write: (bytes) => {
      if (isClosed) return;
      stdout.write(bytes);
      if (stdout.writableNeedDrain) unread.wait(stdout.writableLength);
    },
    pause: () => void stdin.pause(),
    resume: () => {
      if (!isClosed) stdin.resume();
    },
    close: async () => {
      if (isClosed) return;
      isClosed = true;
      stdin.off('data', take);
      stdout.off('drain', drained);
      stdin.pause();
      restore();
      process.off('exit', restore);
      // A pipe that is still open would keep the process.
      stdin.unref?.();
    },
  };
}

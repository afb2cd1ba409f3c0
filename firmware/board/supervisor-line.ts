// The board's side of the pipe to its supervisor (watchdog/board-word.ts). Never waits: what the pipe
// does not take at once is said later, and whoever waits for it waits that long. Without a supervisor,
// or when it is gone, nobody will say a last word, so nothing has to be known before going on.
import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { type BoardWord, encodeBoardWord } from '../../watchdog/board-word.ts';

export class SupervisorLine {
  private readonly descriptor: number | undefined;
  private pipe: Socket | undefined;

  /** `descriptor`: the write end, if it is a pipe or socket at all. */
  constructor(descriptor?: number) {
    this.descriptor = descriptor;
  }

  start(): void {
    const { descriptor } = this;
    if (descriptor === undefined || !isPipe(descriptor)) return;
    const pipe = new Socket({ fd: descriptor, readable: false, writable: true });
    pipe.on('error', () => {
      this.pipe = undefined;
    });
    // It holds no process: who has nothing else to do ends.
    pipe.unref();
    this.pipe = pipe;
  }

  /** `then`: when the supervisor has it, or when there is none. */
  say(word: BoardWord, then: () => void = () => {}): void {
    if (this.pipe === undefined) then();
    else this.pipe.write(encodeBoardWord(word), () => then());
  }
}

export function isPipe(descriptor: number): boolean {
  try {
    const found = fstatSync(descriptor);
    return found.isFIFO() || found.isSocket();
  } catch {
    return false;
  }
}

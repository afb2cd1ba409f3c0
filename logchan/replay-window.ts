// Which frame counters were received: the newest, and one bit for each of the last few thousand.
// Asked before a frame is opened (cheap), told only after it proved authentic: a forged frame must
// not be able to use up a counter that a real one will carry.
import { REPLAY_WINDOW_FRAMES } from './limits.ts';

const WORDS = REPLAY_WINDOW_FRAMES / 32;

export class ReplayWindow {
  /** The newest counter received; 0 before the first. */
  newest = 0;
  private readonly words = new Uint32Array(WORDS);

  /** Why a frame with this counter is refused, if it is. */
  refuses(counter: number): 'stale' | 'replayed' | undefined {
    if (counter > this.newest) return undefined;
    if (counter === 0 || counter <= this.newest - REPLAY_WINDOW_FRAMES) return 'stale';
    return (this.word(counter) & bit(counter)) === 0 ? undefined : 'replayed';
  }

  accept(counter: number): void {
    if (counter > this.newest) {
      this.forget(this.newest + 1, counter);
      this.newest = counter;
    }
    const at = index(counter);
    this.words[at] = (this.words[at] as number) | bit(counter);
  }

  private word(counter: number): number {
    return this.words[index(counter)] as number;
  }

  /** Clears the bits that counters `from` to `to` take over from counters a window earlier. */
  private forget(from: number, to: number): void {
    if (to - from >= REPLAY_WINDOW_FRAMES) {
      this.words.fill(0);
      return;
    }
    for (let counter = from; counter <= to; counter++) {
      const at = index(counter);
      this.words[at] = (this.words[at] as number) & ~bit(counter);
    }
  }
}

// Counters exceed 32 bits; the remainder does not.
function index(counter: number): number {
  return (counter % REPLAY_WINDOW_FRAMES) >>> 5;
}

function bit(counter: number): number {
  return 1 << (counter % 32);
}

// Whether the follower has behind it what the guest did here until now. A follower runs as far as the newest entry of
// its log; what the guest did here after that entry, a request to a disk, say, it does when the next one comes. So a
// place in the log is no place in the guest's life: only a position is. Pure.
import type { Ack } from './messages.ts';

/** Messages of the log that were sent, and how far the guest was. */
export type Place = Pick<Ack, 'applied' | 'position'>;

export class Passing {
  private waiting: { readonly place: Place; readonly then: () => void }[] = [];

  /** Resolves when the follower is as far as this; never, where nobody follows any more. */
  passed(place: Place): Promise<void> {
    return new Promise((then) => this.waiting.push({ place, then }));
  }

  /** Where the follower is. In a later life of the guest positions begin at 0 again: it takes longer, no harm is done. */
  acked({ applied, position }: Place): void {
    const isPassed = ({ place }: { readonly place: Place }) =>
      applied >= place.applied && position >= place.position;
    const passed = this.waiting.filter(isPassed);
    this.waiting = this.waiting.filter((one) => !isPassed(one));
    for (const { then } of passed) then();
  }

  stop(): void {
    this.waiting = [];
  }
}

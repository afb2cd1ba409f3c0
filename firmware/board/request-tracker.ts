// Follows what an operator asked for to its end, and tells every step: taken or refused, then done or failed. No
// request ends in silence. One at a time is under way: the arbiter refuses others meanwhile, or does them at once.
import type { ArbiterState, OperatorRequest } from '../../watchdog/arbiter-types.ts';
import type { EventLog } from './events.ts';
import { type Outcome, outcomeOf, type RequestAnswer, wordsOf } from './operator-requests.ts';

interface UnderWay {
  readonly asked: OperatorRequest;
  readonly taken: number;
}

export class RequestTracker {
  private readonly events: EventLog;
  private current: UnderWay | null = null;

  constructor(events: EventLog) {
    this.events = events;
  }

  /** What has been taken and has not ended yet. */
  get underWay(): OperatorRequest | null {
    return this.current?.asked ?? null;
  }

  refused(asked: OperatorRequest, why: string): RequestAnswer {
    this.events.tell('REQUEST-REFUSED', `${wordsOf(asked)}: refused: ${why}`, { ...asked, why });
    return { ok: false, why };
  }

  /** The state as it is after the arbiter took it. */
  taken(asked: OperatorRequest, state: ArbiterState): RequestAnswer {
    const text = `the operator asks: ${wordsOf(asked)}`;
    const { seq: taken } = this.events.tell('REQUEST-TAKEN', text, { ...asked });
    const outcome = outcomeOf(asked, state);
    if (outcome !== null) {
      this.tell({ asked, taken }, outcome);
      return { ok: true, taken, done: outcome.done };
    }
    if (this.current !== null)
      this.tell(this.current, { done: false, why: `${wordsOf(asked)} came in between` });
    this.current = { asked, taken };
    return { ok: true, taken, done: false };
  }

  look(state: ArbiterState): void {
    const { current } = this;
    const outcome = current === null ? null : outcomeOf(current.asked, state);
    if (current === null || outcome === null) return;
    this.current = null;
    this.tell(current, outcome);
  }

  private tell({ asked, taken }: UnderWay, outcome: Outcome): void {
    const data = { ...asked, taken };
    const words = wordsOf(asked);
    if (outcome.done) this.events.tell('REQUEST-DONE', `${words}: done`, data);
    else {
      const { why } = outcome;
      this.events.tell('REQUEST-FAILED', `${words}: failed: ${why}`, { ...data, why });
    }
  }
}

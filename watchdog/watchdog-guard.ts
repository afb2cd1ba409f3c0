// Holds the watchdog of this board. The guard arms it at the start, and tries again until it can be had. The
// arbiter alone decides when it is petted, and when it is left to bite. If the watchdog then does not reset the
// board in its time it is mute: the board tells that, and its process ends itself.
import type { Watchdog, WatchdogFacts } from './wdt-device.ts';

export interface GuardEvents {
  readonly armed: (facts: WatchdogFacts) => void;
  readonly refused: (why: string) => void;
  /** It was armed, and can be petted no more. */
  readonly lost: (why: string) => void;
  /** It should have reset this board long ago. */
  readonly mute: () => void;
}

export interface GuardStatus {
  readonly armed: boolean;
  readonly identity: string | null;
  readonly timeoutMs: number | null;
  readonly causedLastReset: boolean | null;
  /** Why it is not armed. */
  readonly why: string | null;
}

const RETRY_MS = 5_000;
const MUTE_AFTER_MS = 2_000;

export class WatchdogGuard {
  private readonly dog: Watchdog | null;
  private readonly events: GuardEvents;
  private facts: WatchdogFacts | null = null;
  private why: string | null;
  private arming = false;
  private closed = false;
  private triedMs = Number.NEGATIVE_INFINITY;
  private biteByMs = Number.POSITIVE_INFINITY;

  /** Null: the configuration names none. */
  constructor(dog: Watchdog | null, events: GuardEvents) {
    this.dog = dog;
    this.events = events;
    this.why = dog === null ? 'the configuration names none' : 'not armed yet';
  }

  async arm(nowMs: number): Promise<void> {
    if (this.dog === null || this.closed || this.arming) return;
    this.arming = true;
    this.triedMs = nowMs;
    const armed = await this.dog
      .arm()
      .catch((error: Error) => ({ ok: false, why: error.message }) as const);
    this.arming = false;
    if (this.closed) return;
    if (armed.ok) {
      this.facts = armed.facts;
      this.why = null;
      this.events.armed(armed.facts);
    } else if (this.why !== armed.why) {
      this.why = armed.why;
      this.events.refused(armed.why);
    }
  }

  tick(nowMs: number): void {
    if (this.facts === null && nowMs - this.triedMs > RETRY_MS) void this.arm(nowMs);
    if (nowMs > this.biteByMs) this.events.mute();
  }

  /** If the driver was unloaded or the device pulled out, the board goes on without a watchdog. */
  pet(): void {
    try {
      this.dog?.pet();
    } catch (error) {
      this.facts = null;
      this.why = (error as Error).message;
      this.events.lost(this.why);
    }
  }

  /** From here on the arbiter pets no more, and the watchdog must reset this board. */
  leaveToBite(nowMs: number): void {
    const timeoutMs = this.facts === null || this.closed ? 0 : this.facts.timeoutMs + MUTE_AFTER_MS;
    this.biteByMs = Math.min(this.biteByMs, nowMs + timeoutMs);
  }

  async close(): Promise<void> {
    this.closed = true;
    this.biteByMs = Number.POSITIVE_INFINITY;
    this.facts = null;
    this.why = 'closed by an ordered stop';
    await this.dog?.close();
  }

  get status(): GuardStatus {
    const { facts, why } = this;
    return {
      armed: facts !== null,
      identity: facts?.identity ?? null,
      timeoutMs: facts?.timeoutMs ?? null,
      causedLastReset: facts?.causedLastReset ?? null,
      why,
    };
  }
}

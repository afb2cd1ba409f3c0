// Keeps this board knowing how far its clock and its peer's are apart (lockstep/peer-clock.ts): asks over the log
// link, often when the link has just come up, then now and then, and answers what the peer asks. What was
// learnt counts also when the link is gone: that is when a backup needs it.
import { PeerClock, type PeerClockOffset } from '../../lockstep/peer-clock.ts';
import { encodeLogMessage, type LogMessage } from './messages.ts';

type Of<Type extends LogMessage['type']> = Extract<LogMessage, { type: Type }>;

/** The first questions, one every step of the caller; then as often as two clocks drift apart by half a millisecond. */
const EAGER_ASKS = 8;
const ASK_NS = 1_000_000_000n;

export class ClockTalk {
  private readonly send: (message: Uint8Array) => boolean;
  /** The clock the guest's is held against: CLOCK_MONOTONIC. */
  private readonly nowNs: () => bigint;
  private readonly clock = new PeerClock();
  private asks = 0;
  private askedNs: bigint | undefined;

  constructor(send: (message: Uint8Array) => boolean, nowNs: () => bigint) {
    this.send = send;
    this.nowNs = nowNs;
  }

  /** This board's clock minus the peer's; undefined: it never answered. */
  get offset(): PeerClockOffset | undefined {
    return this.clock.at(this.nowNs());
  }

  /** Who answers now may have started anew meanwhile, and its clock with it. */
  linkUp(): void {
    this.clock.renew();
    this.asks = 0;
    this.ask();
  }

  /** Often. */
  step(): void {
    const { askedNs } = this;
    if (askedNs === undefined) return;
    if (this.asks < EAGER_ASKS || this.nowNs() - askedNs >= ASK_NS) this.ask();
  }

  linkDown(): void {
    this.askedNs = undefined;
  }

  private ask(): void {
    this.asks++;
    this.askedNs = this.nowNs();
    this.send(encodeLogMessage({ type: 'clock-ask', askedNs: this.askedNs }));
  }

  asked({ askedNs }: Of<'clock-ask'>): void {
    const receivedNs = this.nowNs();
    const answer = { type: 'clock', askedNs, receivedNs, answeredNs: this.nowNs() } as const;
    this.send(encodeLogMessage(answer));
  }

  answered({ askedNs, receivedNs, answeredNs }: Of<'clock'>): void {
    this.clock.note({ askedNs, receivedNs, answeredNs, heardNs: this.nowNs() });
  }
}

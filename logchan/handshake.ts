// How two boards meet: no client and no server, either may call, either may restart at any moment,
// and anybody may repeat what was ever said. FORMAT.md has the rules; the two ideas behind them:
// a session comes only from an answer to a nonce that is fresh and was never used, so repeating old
// frames makes nothing; and a call alone never ends a session, it only earns an answer.
//
//              call heard: answer ─┐          ┌─ call heard: answer with a fresh nonce
//                                  ▼          ▼
//   ┌─────────┐  answer to our   ┌─────────────┐  flag, or first sealed  ┌───────────┐
//   │ calling │─────nonce───────▶│ unconfirmed │─────frame that opens───▶│ confirmed │
//   └─────────┘                  └─────────────┘                         └───────────┘
//        ▲      confirmUs is over       │                                      │
//        └──────────────────────────────┴──────── end() ───────────────────────┘
//
// An answer to a fresh nonce also replaces a session that stands: the peer has restarted.
// The caller: 1. gives every authentic hello to receive(), 2. calls tick() when wakeUs() is due,
// 3. sends what next() returns until it returns nothing, 4. tells confirm() of the first sealed frame.
import { assert } from './errors.ts';
import { ANSWER_GAP_US, CALL_US, CONFIRM_US, CONFIRM_US_MAX, NONCE_BYTES } from './limits.ts';
import type { DropReason } from './reasons.ts';
import { equalBytes, type Hello } from './wire.ts';

export interface Meeting {
  mine: Uint8Array;
  theirs: Uint8Array;
  peerFrameBytesMax: number;
  confirmed: boolean;
  sinceUs: number;
}

export interface HandshakeOptions {
  cluster: Uint8Array;
  /** Largest frame our port takes. */
  frameBytesMax: number;
  /** Cryptographically random bytes; the only thing here that is not decided by inputs. */
  random(count: number): Uint8Array;
}

/** What a hello led to, when it was not dropped. */
export type HelloOutcome = 'answering' | 'established' | 'confirmed';

const NO_ECHO = new Uint8Array(NONCE_BYTES);

export class Handshake {
  frameBytesMax: number;
  /** The session that stands, if any. */
  meeting: Meeting | undefined;
  private readonly cluster: Uint8Array;
  private readonly random: (count: number) => Uint8Array;
  /** A nonce no session was made with; the one that calls and answers carry. */
  private fresh: Uint8Array | undefined;
  private answer: { nonce: Uint8Array; echo: Uint8Array } | undefined;
  private answeredUs = Number.NEGATIVE_INFINITY;
  private callUs: number;
  /** What an unconfirmed session is given. */
  private confirmUs = CONFIRM_US;

  constructor(options: HandshakeOptions, nowUs: number) {
    this.cluster = options.cluster;
    this.frameBytesMax = options.frameBytesMax;
    this.random = options.random;
    this.callUs = nowUs;
  }

  receive(hello: Hello, nowUs: number): HelloOutcome | { dropped: DropReason } {
    const { meeting, fresh } = this;
    const own = [fresh, meeting?.mine].some((nonce) => nonce && equalBytes(nonce, hello.nonce));
    if (own) return { dropped: 'reflected' };
    const isCall = equalBytes(hello.echo, NO_ECHO);
    if (meeting !== undefined && equalBytes(hello.nonce, meeting.theirs)) {
      return this.receiveFromPartner(meeting, hello, isCall);
    }
    if (isCall) {
      if (this.answer !== undefined || nowUs < this.answeredUs + ANSWER_GAP_US) {
        return { dropped: 'flood' };
      }
      this.answer = { nonce: this.freshNonce(), echo: hello.nonce };
      return 'answering';
    }
    if (fresh === undefined || !equalBytes(hello.echo, fresh)) return { dropped: 'echo' };
    if (hello.established) this.confirmUs = CONFIRM_US;
    this.meeting = {
      mine: fresh,
      theirs: hello.nonce,
      peerFrameBytesMax: hello.frameBytesMax,
      confirmed: hello.established,
      sinceUs: nowUs,
    };
    this.fresh = undefined;
    this.answer = hello.established ? undefined : { nonce: fresh, echo: hello.nonce };
    this.callUs = nowUs + CALL_US;
    return 'established';
  }

  /** A hello with the nonce our session was made with: the peer is still on its way into it. */
  private receiveFromPartner(
    meeting: Meeting,
    hello: Hello,
    isCall: boolean,
  ): HelloOutcome | { dropped: DropReason } {
    if (meeting.confirmed || !(isCall || equalBytes(hello.echo, meeting.mine))) {
      return { dropped: 'echo' };
    }
    if (hello.established) {
      this.confirm();
      return 'confirmed';
    }
    this.answer = { nonce: meeting.mine, echo: meeting.theirs };
    return 'answering';
  }

  /** The peer has proved that it holds the session's keys. */
  confirm(): void {
    assert(this.meeting !== undefined, 'nothing to confirm');
    this.meeting.confirmed = true;
    this.confirmUs = CONFIRM_US;
    this.answer = undefined;
  }

  /** The session is over; calls begin at once. */
  end(nowUs: number): void {
    this.meeting = undefined;
    this.answer = undefined;
    this.callUs = nowUs;
  }

  /** When tick() and next() want to be called again. */
  wakeUs(): number {
    const answerUs =
      this.answer === undefined ? Number.POSITIVE_INFINITY : this.answeredUs + ANSWER_GAP_US;
    if (this.meeting?.confirmed) return answerUs;
    const expiresUs =
      this.meeting === undefined ? Number.POSITIVE_INFINITY : this.meeting.sinceUs + this.confirmUs;
    return Math.min(answerUs, this.callUs, expiresUs);
  }

  /** Whether a session ended here because the peer never confirmed it. */
  tick(nowUs: number): boolean {
    const { meeting } = this;
    if (meeting === undefined || meeting.confirmed) return false;
    if (nowUs < meeting.sinceUs + this.confirmUs) return false;
    this.confirmUs = Math.min(CONFIRM_US_MAX, 2 * this.confirmUs);
    this.end(nowUs);
    return true;
  }

  /** The next hello to send now, if any. */
  next(nowUs: number): Hello | undefined {
    const { answer, meeting } = this;
    if (answer !== undefined && nowUs >= this.answeredUs + ANSWER_GAP_US) {
      this.answer = undefined;
      this.answeredUs = nowUs;
      return this.hello(answer.nonce, answer.echo);
    }
    if (meeting?.confirmed || nowUs < this.callUs) return undefined;
    this.callUs = nowUs + CALL_US;
    if (meeting !== undefined) return this.hello(meeting.mine, meeting.theirs);
    return this.hello(this.freshNonce(), NO_ECHO);
  }

  private hello(nonce: Uint8Array, echo: Uint8Array): Hello {
    const { cluster, frameBytesMax } = this;
    return { cluster, nonce, echo, established: nonce === this.meeting?.mine, frameBytesMax };
  }

  private freshNonce(): Uint8Array {
    if (this.fresh === undefined) {
      this.fresh = this.random(NONCE_BYTES);
      assert(this.fresh.length === NONCE_BYTES, 'random() gave another number of bytes');
    }
    return this.fresh;
  }
}

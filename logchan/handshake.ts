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
// Calls go over every path that has a carrier, an answer over the path of its call: whatever path works, the
// boards meet, and they meet once, for all calls of a time carry one nonce.
//
// The caller: 1. gives every authentic hello to receive(), 2. calls tick() when wakeUs() is due, 3. for each
// path sends what next() returns until it returns nothing, 4. tells confirm() of the first sealed frame,
// 5. says which paths have a carrier.
import { assert } from './errors.ts';
import {
  ANSWER_GAP_US,
  CALL_SPARE_US,
  CALL_US,
  CONFIRM_US,
  CONFIRM_US_MAX,
  NONCE_BYTES,
} from './limits.ts';
import type { DropReason } from './reasons.ts';
import { equalBytes, type Hello } from './wire.ts';

export interface Meeting {
  mine: Uint8Array;
  theirs: Uint8Array;
  peerFrameBytesMax: number;
  /** The path over which the answer came. */
  path: number;
  confirmed: boolean;
  sinceUs: number;
}

export interface HandshakeOptions {
  cluster: Uint8Array;
  /** Largest frame our port takes, of each path in order of preference. */
  frameBytesMax: readonly number[];
  /** Cryptographically random bytes; the only thing here that is not decided by inputs. */
  random(count: number): Uint8Array;
}

/** What is to be said over one path. */
interface Voice {
  frameBytesMax: number;
  up: boolean;
  answer: { nonce: Uint8Array; echo: Uint8Array } | undefined;
  answeredUs: number;
  callUs: number;
}

/** What a hello led to, when it was not dropped. */
export type HelloOutcome = 'answering' | 'established' | 'confirmed';

const NO_ECHO = new Uint8Array(NONCE_BYTES);

export class Handshake {
  /** The session that stands, if any. */
  meeting: Meeting | undefined;
  private readonly cluster: Uint8Array;
  private readonly random: (count: number) => Uint8Array;
  private readonly voices: readonly Voice[];
  /** A nonce no session was made with; the one that calls and answers carry. */
  private fresh: Uint8Array | undefined;
  /** What an unconfirmed session is given. */
  private confirmUs = CONFIRM_US;

  constructor(options: HandshakeOptions, nowUs: number) {
    this.cluster = options.cluster;
    this.random = options.random;
    this.voices = options.frameBytesMax.map((frameBytesMax) => ({
      frameBytesMax,
      up: true,
      answer: undefined,
      answeredUs: Number.NEGATIVE_INFINITY,
      callUs: nowUs,
    }));
  }

  private voice(path: number): Voice {
    const voice = this.voices[path];
    assert(voice !== undefined, 'a path that is not there');
    return voice;
  }

  linkChanged(path: number, up: boolean): void {
    this.voice(path).up = up;
  }

  frameBytesMax(path: number): number {
    return this.voice(path).frameBytesMax;
  }

  portSize(path: number, bytes: number): void {
    this.voice(path).frameBytesMax = bytes;
  }

  receive(path: number, hello: Hello, nowUs: number): HelloOutcome | { dropped: DropReason } {
    const { meeting, fresh } = this;
    const voice = this.voice(path);
    const own = [fresh, meeting?.mine].some((nonce) => nonce && equalBytes(nonce, hello.nonce));
    if (own) return { dropped: 'reflected' };
    const isCall = equalBytes(hello.echo, NO_ECHO);
    if (meeting !== undefined && equalBytes(hello.nonce, meeting.theirs)) {
      return this.receiveFromPartner(meeting, voice, hello, isCall);
    }
    if (isCall) {
      if (voice.answer !== undefined || nowUs < voice.answeredUs + ANSWER_GAP_US) {
        return { dropped: 'flood' };
      }
      voice.answer = { nonce: this.freshNonce(), echo: hello.nonce };
      return 'answering';
    }
    if (fresh === undefined || !equalBytes(hello.echo, fresh)) return { dropped: 'echo' };
    if (hello.established) this.confirmUs = CONFIRM_US;
    this.meeting = {
      mine: fresh,
      theirs: hello.nonce,
      peerFrameBytesMax: hello.frameBytesMax,
      path,
      confirmed: hello.established,
      sinceUs: nowUs,
    };
    this.fresh = undefined;
    this.hush();
    if (!hello.established) voice.answer = { nonce: fresh, echo: hello.nonce };
    for (const each of this.voices) each.callUs = nowUs + CALL_US;
    return 'established';
  }

  /** Answers that wait carry a nonce that is used up now. */
  private hush(): void {
    for (const voice of this.voices) voice.answer = undefined;
  }

  /** A hello with the nonce our session was made with: the peer is still on its way into it. */
  private receiveFromPartner(
    meeting: Meeting,
    voice: Voice,
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
    voice.answer = { nonce: meeting.mine, echo: meeting.theirs };
    return 'answering';
  }

  /** The peer has proved that it holds the session's keys. */
  confirm(): void {
    assert(this.meeting !== undefined, 'nothing to confirm');
    this.meeting.confirmed = true;
    this.confirmUs = CONFIRM_US;
    this.hush();
  }

  /** The session is over; calls begin at once. */
  end(nowUs: number): void {
    this.meeting = undefined;
    this.hush();
    for (const voice of this.voices) voice.callUs = nowUs;
  }

  /** When tick() and next() want to be called again. */
  wakeUs(): number {
    const { meeting } = this;
    let wakeUs = Number.POSITIVE_INFINITY;
    for (const voice of this.voices) {
      if (!voice.up) continue;
      if (voice.answer !== undefined) wakeUs = Math.min(wakeUs, voice.answeredUs + ANSWER_GAP_US);
      if (!meeting?.confirmed) wakeUs = Math.min(wakeUs, voice.callUs);
    }
    if (meeting === undefined || meeting.confirmed) return wakeUs;
    return Math.min(wakeUs, meeting.sinceUs + this.confirmUs);
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

  /** The next hello to send now over a path, if any. */
  next(path: number, nowUs: number): Hello | undefined {
    const { meeting } = this;
    const voice = this.voice(path);
    const { answer } = voice;
    if (answer !== undefined && nowUs >= voice.answeredUs + ANSWER_GAP_US) {
      voice.answer = undefined;
      voice.answeredUs = nowUs;
      return this.hello(voice, answer.nonce, answer.echo);
    }
    if (meeting?.confirmed || nowUs < voice.callUs) return undefined;
    const isFirst = this.voices.find(({ up }) => up) === voice;
    voice.callUs = nowUs + (isFirst ? CALL_US : CALL_SPARE_US);
    if (meeting !== undefined) return this.hello(voice, meeting.mine, meeting.theirs);
    return this.hello(voice, this.freshNonce(), NO_ECHO);
  }

  private hello({ frameBytesMax }: Voice, nonce: Uint8Array, echo: Uint8Array): Hello {
    const { cluster } = this;
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

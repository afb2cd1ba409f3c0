// The frames of one session as such: each is sealed with a counter of its own and opened once, whatever path
// it takes; and when each left, over which. Counters are the session's, so no two frames share a nonce.
import type { CipherFactory, FrameCipher } from './cipher.ts';
import type { SessionKeys } from './keys.ts';
import { FRAME_BYTES_MAX, TAG_BYTES } from './limits.ts';
import type { DropReason } from './reasons.ts';
import { ReplayWindow } from './replay-window.ts';
import type { SessionPath } from './session-path.ts';
import { type Header, KIND, SEALED_OVERHEAD_BYTES, writeHeader } from './wire.ts';

/** Remembered for so many frames; a longer round trip is not measured. */
const SENT_TIMES = 8192;

export class SealedFrames {
  /** The body to be sealed, or that was opened. */
  readonly plain = new Uint8Array(FRAME_BYTES_MAX);
  /** Counter of the last frame sent. */
  counter = 0;
  private readonly session: number;
  private readonly sealer: FrameCipher;
  private readonly opener: FrameCipher;
  private readonly replay = new ReplayWindow();
  private readonly leftUs = new Float64Array(SENT_TIMES);
  private readonly leftOver = new Uint8Array(SENT_TIMES);

  constructor(keys: SessionKeys, makeCipher: CipherFactory) {
    this.session = keys.session;
    this.sealer = makeCipher(keys.send);
    this.opener = makeCipher(keys.receive);
  }

  /** Opens a frame into `plain`: the length of its body, or why it counts as nothing. */
  open(bytes: Uint8Array, start: number, header: Header): number | DropReason {
    const { counter } = header;
    const old = this.replay.refuses(counter);
    if (old !== undefined) return old;
    const opened = this.opener.open(counter, bytes, start, header.bodyEnd, this.plain);
    if (opened < 0) return 'forged';
    this.replay.accept(counter);
    return opened;
  }

  /** Seals `plain` into a frame that leaves over a path now; its length. */
  seal(path: SessionPath, into: Uint8Array, bodyBytes: number, nowUs: number): number {
    const counter = ++this.counter;
    writeHeader(into, KIND.sealed, this.session, counter, bodyBytes + TAG_BYTES);
    this.sealer.seal(counter, into, this.plain, bodyBytes);
    const frameBytes = bodyBytes + SEALED_OVERHEAD_BYTES;
    this.leftUs[counter % SENT_TIMES] = nowUs;
    this.leftOver[counter % SENT_TIMES] = path.index;
    path.sent(counter, frameBytes);
    return frameBytes;
  }

  /** Whether a frame of ours left so lately that we know when and over which path. */
  remembers(counter: number): boolean {
    return counter + SENT_TIMES > this.counter;
  }

  sentUs(counter: number): number {
    return this.leftUs[counter % SENT_TIMES] as number;
  }

  sentOver(counter: number): number {
    return this.leftOver[counter % SENT_TIMES] as number;
  }
}

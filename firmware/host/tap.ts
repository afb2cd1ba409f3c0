// The host's end of a guest's network card: a TAP interface, frames as they are on the wire.
//
// Frames are given out in batches, in order, as they come; what is sent leaves at once or is dropped
// with a reason, as on a network card: nothing waits here, whoever needs order and patience (output
// gate, guest's TCP) has them already.
import { Tap, type TapDrop } from '../../native/index.ts';

export interface HostTapOptions {
  /** Of an existing interface: `ip tuntap add dev NAME mode tap`. */
  name: string;
  onFrames: (frames: Uint8Array[]) => void;
  /** The interface was deleted; nothing comes any more. */
  onGone: () => void;
}

export interface HostTapInfo {
  name: string;
  /** Of the host's end, as 52:54:00:12:34:56; the guest's card has its own. */
  mac: string;
  mtuBytes: number;
  isUp: boolean;
}

export const TAP_ERROR_CODES = [
  'E_TAP_NAME', // no possible name of an interface
  'E_TAP_NO_DEVICE', // /dev/net/tun is missing
  'E_TAP_MISSING', // no such interface
  'E_TAP_PERMISSION', // not allowed to this user
  'E_TAP_BUSY', // another program is attached
  'E_TAP_KIND', // an interface, but no TAP with one queue
  'E_TAP_GONE', // deleted or closed since
  'E_TAP_FAILED', // anything else; the message has the system's words
] as const;
export type TapErrorCode = (typeof TAP_ERROR_CODES)[number];

/** One clear line in `message`, ready for a console. */
export class TapError extends Error {
  readonly code: TapErrorCode;
  constructor(code: TapErrorCode, words: string) {
    super(words);
    this.code = code;
  }
}

export class HostTap {
  private readonly tap: Tap;

  constructor({ name, onFrames, onGone }: HostTapOptions) {
    this.tap = withTapErrors(() => new Tap(name, onFrames, onGone));
  }

  /** From now on frames come. */
  start(): void {
    withTapErrors(() => this.tap.start());
  }

  /** The reason if the frame was dropped. Short frames are fine: the host pads, or need not. */
  send(frame: Uint8Array): TapDrop | undefined {
    return this.tap.write(frame);
  }

  info(): HostTapInfo {
    const { mac, ...rest } = withTapErrors(() => this.tap.info());
    return { ...rest, mac: Buffer.from(mac).toString('hex').match(/../g)!.join(':') };
  }

  counters(): ReturnType<Tap['counters']> {
    return this.tap.counters();
  }

  /** May be called twice. No callback comes afterwards. */
  close(): void {
    this.tap.close();
  }
}

function withTapErrors<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    const known = TAP_ERROR_CODES.find((candidate) => candidate === code);
    if (known === undefined) throw error;
    throw new TapError(known, (error as Error).message);
  }
}

// A capture of the channel from inside a board. CapturePort records what passes a port, sealed as it is;
// CaptureCipher, if wanted, adds an opened copy of each sealed frame, so that Wireshark can show what is
// in it (dissector/). Opened copies hold what the log holds, passwords too: for the bench only.
import type { CipherFactory, FrameCipher } from './cipher.ts';
import { ETHERTYPE, TAG_BYTES } from './limits.ts';
import { type Direction, pcapngHead, pcapngPacket } from './pcapng.ts';
import type { LinkState, Port, PortCounters, PortHandler } from './port.ts';
import { HEADER_BYTES, writeU16 } from './wire.ts';

/** In captures only: a sealed frame that was opened. */
export const KIND_OPENED = 0x82;
const KIND_AT = 3;
const BODY_BYTES_AT = 14;
/** The port does not show us real addresses; which end spoke is what matters. */
const MAC = { ours: [2, 0, 0, 0, 0, 1], peers: [2, 0, 0, 0, 0, 2] };

export class Capture {
  private readonly write: (bytes: Uint8Array) => void;
  private readonly nowUs: () => number;

  /** `write` appends to a file, say; times are since 1970. */
  constructor(interfaceName: string, write: (bytes: Uint8Array) => void, nowUs: () => number) {
    this.write = write;
    this.nowUs = nowUs;
    write(pcapngHead(interfaceName));
  }

  frame(payload: Uint8Array, direction: Direction): void {
    const [to, from] = direction === 'out' ? [MAC.peers, MAC.ours] : [MAC.ours, MAC.peers];
    const type = [ETHERTYPE >> 8, ETHERTYPE & 0xff];
    const frame = Buffer.concat([Buffer.from([...to, ...from, ...type]), payload]);
    this.write(pcapngPacket(frame, direction, this.nowUs()));
  }

  /** The copy of a sealed frame, opened. */
  opened(header: Uint8Array, plain: Uint8Array, direction: Direction): void {
    const copy = Buffer.concat([header, plain]);
    copy[KIND_AT] = KIND_OPENED;
    writeU16(copy, BODY_BYTES_AT, plain.length);
    this.frame(copy, direction);
  }
}

/** Any port, with everything that passes it recorded. */
export class CapturePort implements Port {
  readonly name: string;
  private readonly inner: Port;
  private readonly capture: Capture;
  private last: Uint8Array | undefined;

  constructor(inner: Port, capture: Capture) {
    this.inner = inner;
    this.capture = capture;
    this.name = inner.name;
  }

  start(handler: PortHandler): LinkState {
    return this.inner.start({
      frame: (bytes, start, end) => {
        this.capture.frame(bytes.subarray(start, end), 'in');
        handler.frame(bytes, start, end);
      },
      batchEnd: () => handler.batchEnd(),
      writable: () => handler.writable(),
      link: (state) => handler.link(state),
    });
  }

  slot(): Uint8Array | undefined {
    this.last = this.inner.slot();
    return this.last;
  }

  queue(bytes: number): void {
    if (this.last !== undefined) this.capture.frame(this.last.subarray(0, bytes), 'out');
    this.inner.queue(bytes);
  }

  flush(): void {
    this.inner.flush();
  }

  adoptSender(): void {
    this.inner.adoptSender();
  }

  forgetPeer(): void {
    this.inner.forgetPeer();
  }

  counters(): PortCounters {
    return this.inner.counters();
  }

  close(): void {
    this.inner.close();
  }
}

/** A cipher whose frames are recorded opened. */
export function captureCipher(inner: CipherFactory, capture: Capture): CipherFactory {
  return (key) => new CaptureCipher(inner(key), capture);
}

class CaptureCipher implements FrameCipher {
  private readonly inner: FrameCipher;
  private readonly capture: Capture;

  constructor(inner: FrameCipher, capture: Capture) {
    this.inner = inner;
    this.capture = capture;
  }

  seal(counter: number, frame: Uint8Array, plain: Uint8Array, bytes: number): void {
    this.capture.opened(frame.subarray(0, HEADER_BYTES), plain.subarray(0, bytes), 'out');
    this.inner.seal(counter, frame, plain, bytes);
  }

  open(counter: number, frame: Uint8Array, start: number, end: number, plain: Uint8Array): number {
    const bytes = this.inner.open(counter, frame, start, end, plain);
    if (bytes >= 0) {
      const header = frame.subarray(start, end - TAG_BYTES - bytes);
      this.capture.opened(header, plain.subarray(0, bytes), 'in');
    }
    return bytes;
  }
}

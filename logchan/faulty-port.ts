// Any port with faults on its way out, so that the same trouble can be made on a real interface.
import { type FaultRandom, type Faults, FaultyLine } from './faulty-line.ts';
import { FRAME_BYTES_MAX } from './limits.ts';
import type { LinkState, Port, PortCounters, PortHandler } from './port.ts';

export class FaultyPort implements Port {
  readonly name: string;
  readonly line: FaultyLine;
  private readonly inner: Port;
  private readonly scratch = new Uint8Array(FRAME_BYTES_MAX);
  private frameBytesMax = 0;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(inner: Port, random: FaultRandom, faults: Faults) {
    this.inner = inner;
    this.name = `${inner.name}, with faults`;
    this.line = new FaultyLine(random, faults);
  }

  start(handler: PortHandler): LinkState {
    const link = (state: LinkState) => {
      this.frameBytesMax = state.frameBytesMax;
      handler.link(state);
    };
    const state = this.inner.start({
      frame: (bytes, start, end) => handler.frame(bytes, start, end),
      batchEnd: () => handler.batchEnd(),
      writable: () => handler.writable(),
      link,
    });
    this.frameBytesMax = state.frameBytesMax;
    return state;
  }

  slot(): Uint8Array | undefined {
    return this.scratch.subarray(0, this.frameBytesMax);
  }

  queue(bytes: number): void {
    this.line.send(this.scratch.subarray(0, bytes), nowUs());
  }

  flush(): void {
    if (this.closed) return;
    for (let frame = this.line.receive(nowUs()); frame; frame = this.line.receive(nowUs())) {
      const slot = this.inner.slot();
      // A full port is one more way to lose a frame.
      if (slot === undefined || frame.length > slot.length) continue;
      slot.set(frame);
      this.inner.queue(frame.length);
    }
    this.inner.flush();
    const waitUs = this.line.arrivalUs() - nowUs();
    if (waitUs === Number.POSITIVE_INFINITY || this.timer !== undefined) return;
    const again = () => {
      this.timer = undefined;
      this.flush();
    };
    this.timer = setTimeout(again, Math.max(0, waitUs) / 1000);
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
    this.closed = true;
    clearTimeout(this.timer);
    this.inner.close();
  }
}

function nowUs(): number {
  return performance.now() * 1000;
}

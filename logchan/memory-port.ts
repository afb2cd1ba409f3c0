// Two ports in one process, each other's peer: for simulation, tests and the demo. Frames arrive in
// a later turn of the event loop, whole and in order; wrapped in a FaultyPort, less so.
import { assert } from './errors.ts';
import { FRAME_BYTES_MAX } from './limits.ts';
import {
  type LinkState,
  type Port,
  type PortCounters,
  type PortHandler,
  portCounters,
} from './port.ts';

/** As a receive ring: what finds it full is lost. */
const QUEUE_FRAMES_MAX = 4096;

export class MemoryPort implements Port {
  readonly name: string;
  private readonly count = portCounters();
  private readonly scratch = new Uint8Array(FRAME_BYTES_MAX);
  private peer: MemoryPort | undefined;
  private handler: PortHandler | undefined;
  private arrived: Uint8Array[] = [];
  private turn: NodeJS.Immediate | undefined;
  private state: LinkState;

  constructor(name: string, frameBytesMax: number) {
    this.name = name;
    this.state = { up: true, frameBytesMax };
  }

  static pair(frameBytesMax = 1500): [MemoryPort, MemoryPort] {
    const a = new MemoryPort('memory a', frameBytesMax);
    const b = new MemoryPort('memory b', frameBytesMax);
    a.peer = b;
    b.peer = a;
    return [a, b];
  }

  start(handler: PortHandler): LinkState {
    assert(this.handler === undefined, 'a port starts once');
    this.handler = handler;
    return this.state;
  }

  /** Pulls or plugs the cable, or changes the interface's size. */
  setLink(state: LinkState): void {
    this.state = state;
    this.handler?.link(state);
  }

  slot(): Uint8Array | undefined {
    if (this.handler === undefined) return undefined;
    return this.scratch.subarray(0, this.state.frameBytesMax);
  }

  queue(bytes: number): void {
    const { peer } = this;
    if (!this.state.up || !peer?.state.up || bytes > peer.state.frameBytesMax) {
      this.count.unsent++;
      return;
    }
    this.count.sent++;
    peer.accept(this.scratch.slice(0, bytes));
  }

  private accept(frame: Uint8Array): void {
    if (this.handler === undefined) return;
    if (this.arrived.length >= QUEUE_FRAMES_MAX) {
      this.count.overrun++;
      return;
    }
    this.arrived.push(frame);
    this.turn ??= setImmediate(() => this.deliver());
  }

  private deliver(): void {
    this.turn = undefined;
    const frames = this.arrived;
    this.arrived = [];
    for (const frame of frames) {
      this.count.received++;
      this.handler?.frame(frame, 0, frame.length);
    }
    this.handler?.batchEnd();
  }

  flush(): void {}
  adoptSender(): void {}
  forgetPeer(): void {}

  counters(): PortCounters {
    return { ...this.count };
  }

  close(): void {
    this.handler = undefined;
    clearImmediate(this.turn);
    this.arrived = [];
  }
}

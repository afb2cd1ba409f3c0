// A cable between two boards that start and die: each end takes a new port whenever a board starts
// there. It can be cut, with or without the boards noticing, and slowed down.
import type { LinkState, Port, PortCounters, PortHandler } from '../../../logchan/port.ts';
import { portCounters } from '../../../logchan/port.ts';

const FRAME_BYTES = 9000;

export class Cable {
  /** Frames vanish. */
  isCut = false;
  /** Frames in one turn of the event loop, each way; a slow link. */
  framesATurn = Number.POSITIVE_INFINITY;
  private readonly ends: [CablePort | undefined, CablePort | undefined] = [undefined, undefined];

  port(end: 0 | 1): Port {
    return new CablePort(this, end);
  }

  /** @internal */
  plug(end: 0 | 1, port: CablePort | undefined): void {
    this.ends[end] = port;
  }

  /** @internal */
  carry(from: 0 | 1, frame: Uint8Array): void {
    if (!this.isCut) this.ends[1 - from]?.accept(frame);
  }
}

class CablePort implements Port {
  readonly name: string;
  private readonly cable: Cable;
  private readonly end: 0 | 1;
  private readonly scratch = new Uint8Array(FRAME_BYTES);
  private handler: PortHandler | undefined;
  private arrived: Uint8Array[] = [];
  private turn: NodeJS.Immediate | undefined;

  constructor(cable: Cable, end: 0 | 1) {
    this.cable = cable;
    this.end = end;
    this.name = `cable end ${end}`;
  }

  start(handler: PortHandler): LinkState {
    this.handler = handler;
    this.cable.plug(this.end, this);
    return { up: true, frameBytesMax: FRAME_BYTES };
  }

  slot(): Uint8Array | undefined {
    return this.handler === undefined ? undefined : this.scratch;
  }

  queue(bytes: number): void {
    if (this.handler !== undefined) this.cable.carry(this.end, this.scratch.slice(0, bytes));
  }

  accept(frame: Uint8Array): void {
    if (this.arrived.length >= 4096) return;
    this.arrived.push(frame);
    this.turn ??= setImmediate(() => this.deliver());
  }

  private deliver(): void {
    this.turn = undefined;
    const frames = this.arrived.splice(0, this.cable.framesATurn);
    for (const frame of frames) this.handler?.frame(frame, 0, frame.length);
    this.handler?.batchEnd();
    if (this.arrived.length > 0) this.turn ??= setImmediate(() => this.deliver());
  }

  flush(): void {}
  adoptSender(): void {}
  forgetPeer(): void {}

  counters(): PortCounters {
    return portCounters();
  }

  close(): void {
    if (this.handler !== undefined) this.cable.plug(this.end, undefined);
    this.handler = undefined;
    clearImmediate(this.turn);
    this.arrived = [];
  }
}

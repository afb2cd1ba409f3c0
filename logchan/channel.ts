// The channel as the board uses it: an endpoint, a port, a clock and a timer. All decisions are the
// endpoint's; here frames and time are carried to it and its frames and events away.
//
// The commit path is append(urgent) -> frame on the wire, in the same call; at the peer frame in ->
// acknowledgement on the wire, in the same turn; here acknowledgement in -> acked(), in the same turn.
// What it acknowledges is in the peer's memory and no more: the output gate counts words of its own
// (docs/decisions/0042), in which the peer says in which role it holds them.
import { randomBytes } from 'node:crypto';
import { type ChannelEvent, Endpoint, type EndpointOptions } from './endpoint.ts';
import { LogchanError } from './errors.ts';
import { FRAME_BYTES_BASE } from './limits.ts';
import { nativeCipher } from './native-cipher.ts';
import type { LinkState, Port, PortCounters } from './port.ts';
import type { DropCounters } from './reasons.ts';
import { LANE, type Lane } from './sections.ts';

export interface ChannelHandler {
  /** Messages up to this index are in the peer's memory. */
  acked?(through: number): void;
  bulkAcked?(through: number): void;
  /** take() has something that it had not before. */
  readable?(): void;
  event?(event: ChannelEvent): void;
}

export interface ChannelOptions extends Omit<EndpointOptions, 'random' | 'frameBytesMax'> {
  port: Port;
  handler: ChannelHandler;
  random?: (count: number) => Uint8Array;
  /** Monotonic. A slower one than the host's makes every limit of time longer: for emulated processors. */
  clockUs?: () => number;
}

export interface ChannelState {
  up: boolean;
  linkUp: boolean;
  frameBytes: number;
  rttUs: number;
  rttLowestUs: number;
  framesSent: number;
  framesReceived: number;
  repeatedBytes: number;
  timeouts: number;
  drops: DropCounters;
  port: PortCounters;
}

export class Channel {
  private readonly options: ChannelOptions;
  private readonly port: Port;
  private readonly handler: ChannelHandler;
  private readonly clockUs: () => number;
  private endpoint: Endpoint | undefined;
  /** There is a carrier. */
  linkUp = false;
  private timer: NodeJS.Timeout | undefined;
  private timerUs = Number.POSITIVE_INFINITY;
  private turn: NodeJS.Immediate | undefined;
  private ackedTold = 0;
  private bulkAckedTold = 0;
  private receivedTold = 0;

  constructor(options: ChannelOptions) {
    this.options = options;
    this.port = options.port;
    this.handler = options.handler;
    this.clockUs = options.clockUs ?? hostClockUs;
  }

  /** Opens the port and begins to call the peer. */
  start(): void {
    const state = this.port.start({
      frame: (bytes, start, end) => this.frame(bytes, start, end),
      batchEnd: () => this.batchEnd(),
      writable: () => this.flush(),
      link: (link) => this.link(link),
    });
    if (state.frameBytesMax < FRAME_BYTES_BASE) {
      this.port.close();
      const need = `frames of ${FRAME_BYTES_BASE} bytes`;
      throw new LogchanError('E_INTERFACE', `${this.port.name}: its MTU is too small for ${need}`);
    }
    const { port: _, handler: __, clockUs: ___, random, ...rest } = this.options;
    const { frameBytesMax } = state;
    this.linkUp = state.up;
    this.endpoint = new Endpoint(
      { makeCipher: nativeCipher, random: random ?? randomBytes, ...rest, frameBytesMax },
      this.clockUs(),
    );
    if (!state.up) this.endpoint.linkChanged(false, this.clockUs());
    this.dispatchEvents();
    this.flush();
  }

  /** Says goodbye to the peer and closes the port. May be called twice. */
  stop(): void {
    const { endpoint } = this;
    if (endpoint === undefined) return;
    endpoint.close();
    this.dispatchEvents();
    this.flush();
    this.endpoint = undefined;
    clearTimeout(this.timer);
    clearImmediate(this.turn);
    this.timer = undefined;
    this.turn = undefined;
    this.port.close();
  }

  get isUp(): boolean {
    return this.endpoint?.isUp ?? false;
  }

  get ackedThrough(): number {
    return this.endpoint?.ackedThrough ?? 0;
  }

  get bulkAckedThrough(): number {
    return this.endpoint?.bulkAckedThrough ?? 0;
  }

  /** Whether a message of this size can be appended now. */
  fits(messageBytes: number, lane: Lane = LANE.log): boolean {
    return this.endpoint?.fits(lane, messageBytes) ?? false;
  }

  /** The index acked() will reach; `urgent` when an output waits for this message. */
  append(message: Uint8Array, options: { urgent: boolean }): number {
    return this.put(LANE.log, message, options.urgent);
  }

  appendBulk(chunk: Uint8Array): number {
    return this.put(LANE.bulk, chunk, false);
  }

  private put(lane: Lane, message: Uint8Array, urgent: boolean): number {
    if (this.endpoint === undefined) throw new Error('append to a channel that is not started');
    const index = this.endpoint.append(lane, message, urgent, this.clockUs());
    if (urgent) this.flush();
    else this.flushSoon();
    return index;
  }

  /** The next message from the peer, or undefined; taking it makes room for another. */
  take(lane: Lane = LANE.log): Uint8Array | undefined {
    const message = this.endpoint?.take(lane);
    if (message !== undefined && this.endpoint?.owesCredit) this.flushSoon();
    return message;
  }

  /** Smoothed, of the session that stands; 0: none. */
  get rttUs(): number {
    return this.endpoint?.session?.rtt.smoothedUs ?? 0;
  }

  /** What a frame carries at most; 0: no session stands. */
  get frameBytes(): number {
    return this.endpoint?.session?.path.bytes ?? 0;
  }

  /** All of it, for people: asks the kernel, too. */
  state(): ChannelState {
    const session = this.endpoint?.session;
    return {
      up: this.isUp,
      linkUp: this.linkUp,
      frameBytes: this.frameBytes,
      rttUs: this.rttUs,
      rttLowestUs: session?.rtt.lowestUs ?? 0,
      framesSent: session?.framesSent ?? 0,
      framesReceived: session?.framesReceived ?? 0,
      repeatedBytes: session?.out.reduce((sum, lane) => sum + lane.repeatedBytes, 0) ?? 0,
      timeouts: session?.timeouts ?? 0,
      drops: { ...(this.endpoint?.drops ?? ({} as DropCounters)) },
      port: this.port.counters(),
    };
  }

  private frame(bytes: Uint8Array, start: number, end: number): void {
    this.endpoint?.receive(bytes, start, end, this.clockUs());
    // Now, while the port still knows who sent this frame.
    if (this.endpoint?.hasEvents) this.dispatchEvents();
  }

  private batchEnd(): void {
    this.flush();
    this.tellProgress();
  }

  private link(link: LinkState): void {
    this.linkUp = link.up;
    this.endpoint?.portSize(link.frameBytesMax, this.clockUs());
    this.endpoint?.linkChanged(link.up, this.clockUs());
    this.dispatchEvents();
    this.flush();
  }

  /** Everything that leaves now, then the timer for what leaves later. */
  private flush(): void {
    const { endpoint, port } = this;
    if (endpoint === undefined) return;
    const nowUs = this.clockUs();
    let queued = false;
    for (let slot = port.slot(); slot !== undefined; slot = port.slot()) {
      const bytes = endpoint.write(slot, nowUs);
      if (bytes === 0) break;
      port.queue(bytes);
      queued = true;
    }
    if (queued) port.flush();
    this.arm(endpoint.wakeUs(nowUs), nowUs);
  }

  /** Once, at the end of this turn: messages appended in one turn share frames. */
  private flushSoon(): void {
    this.turn ??= setImmediate(() => {
      this.turn = undefined;
      this.flush();
    });
  }

  private tellProgress(): void {
    const { endpoint, handler } = this;
    if (endpoint === undefined) return;
    const { ackedThrough, bulkAckedThrough, messagesReceived } = endpoint;
    if (ackedThrough > this.ackedTold) {
      this.ackedTold = ackedThrough;
      handler.acked?.(ackedThrough);
    }
    if (bulkAckedThrough > this.bulkAckedTold) {
      this.bulkAckedTold = bulkAckedThrough;
      handler.bulkAcked?.(bulkAckedThrough);
    }
    if (messagesReceived > this.receivedTold) {
      this.receivedTold = messagesReceived;
      handler.readable?.();
    }
  }

  private dispatchEvents(): void {
    const { endpoint } = this;
    if (endpoint === undefined) return;
    for (let event = endpoint.takeEvent(); event; event = endpoint.takeEvent()) {
      if (event.type === 'up') this.port.adoptSender();
      if (event.type === 'down') {
        this.port.forgetPeer();
        this.ackedTold = 0;
        this.bulkAckedTold = 0;
        this.receivedTold = 0;
      }
      this.handler.event?.(event);
    }
  }

  /** A timer that is due earlier stays: when it fires it finds out what is due. */
  private arm(wakeUs: number, nowUs: number): void {
    if (wakeUs >= this.timerUs) return;
    clearTimeout(this.timer);
    this.timerUs = wakeUs;
    this.timer = setTimeout(() => this.wake(), Math.max(1, Math.ceil((wakeUs - nowUs) / 1000)));
  }

  private wake(): void {
    this.timer = undefined;
    this.timerUs = Number.POSITIVE_INFINITY;
    this.endpoint?.tick(this.clockUs());
    this.dispatchEvents();
    this.flush();
    this.tellProgress();
  }
}

function hostClockUs(): number {
  return performance.now() * 1000;
}

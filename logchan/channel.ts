// The channel as the board uses it: an endpoint, a port for each path, a clock and a timer. All decisions are
// the endpoint's; here frames and time are carried to it and its frames and events away.
//
// The commit path is append(urgent) -> frame on the wire, in the same call; at the peer frame in -> readable(),
// and what the peer says to it on the wire with the acknowledgement, in the same turn.
// What is acknowledged is in the peer's memory and no more: the output gate counts words of its own
// (docs/decisions/0042), in which the peer says in which role it holds them.
import { randomBytes } from 'node:crypto';
import { type ChannelEvent, Endpoint, type EndpointOptions } from './endpoint.ts';
import { LogchanError } from './errors.ts';
import { FRAME_BYTES_BASE } from './limits.ts';
import { nativeCipher } from './native-cipher.ts';
import type { LinkState, Port, PortCounters } from './port.ts';
import type { DropCounters } from './reasons.ts';
import { LANE, type Lane } from './sections.ts';
import type { Haste } from './sender.ts';

export interface ChannelHandler {
  /** Messages up to this index are in the peer's memory. */
  acked?(through: number): void;
  bulkAcked?(through: number): void;
  /** take() has something that it had not before. */
  readable?(): void;
  event?(event: ChannelEvent): void;
}

export interface ChannelPath {
  port: Port;
  /** For people. @default the port's name */
  name?: string;
  /** What bulk data may use of it. @default no limit */
  rateBytesPerSecond?: number;
}

export interface ChannelOptions extends Omit<EndpointOptions, 'random' | 'paths'> {
  /** Ways to the peer, best first. */
  paths: readonly ChannelPath[];
  handler: ChannelHandler;
  random?: (count: number) => Uint8Array;
  /**
   * The owner calls tick() this often, and no timer is made for what is due later than half of that: each wakes
   * a processor. @default never
   */
  tickedEveryMs?: number;
  /** Monotonic. A slower one than the host's makes every limit of time longer: for emulated processors. */
  clockUs?: () => number;
}

/** One path, for people. What is measured is of the session that stands, 0 without one. */
export interface ChannelPathFacts {
  name: string;
  /** It has a carrier. */
  linkUp: boolean;
  /** Why not, where that is not the carrier. */
  trouble: string | null;
  /** What this end sends goes over it. */
  isActive: boolean;
  /** No carrier, or no answer. Undefined: no session stands. */
  isLost: boolean | undefined;
  rttUs: number;
  rttLowestUs: number;
  frameBytes: number;
  framesSent: number;
  framesReceived: number;
  bytesSent: number;
  /** Of the log lane, repeats included. */
  logBytesSent: number;
}

export interface ChannelPathState extends ChannelPathFacts {
  port: PortCounters;
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
  paths: ChannelPathState[];
}

export class Channel {
  private readonly options: ChannelOptions;
  private readonly ports: readonly Port[];
  private readonly handler: ChannelHandler;
  private readonly clockUs: () => number;
  private endpoint: Endpoint | undefined;
  /** Which paths have a carrier. */
  private readonly carriers: boolean[];
  private timer: NodeJS.Timeout | undefined;
  private timerUs = Number.POSITIVE_INFINITY;
  /** When the endpoint has something to do, as of the last flush. */
  private wakeUs = Number.POSITIVE_INFINITY;
  private readonly tickedEveryUs: number;
  private turn: NodeJS.Immediate | undefined;
  private isInBatch = false;
  private ackedTold = 0;
  private bulkAckedTold = 0;
  private receivedTold = 0;

  constructor(options: ChannelOptions) {
    this.options = options;
    this.ports = options.paths.map(({ port }) => port);
    this.carriers = this.ports.map(() => false);
    this.handler = options.handler;
    this.clockUs = options.clockUs ?? hostClockUs;
    this.tickedEveryUs = (options.tickedEveryMs ?? Number.POSITIVE_INFINITY) * 1000;
  }

  /** Opens the ports and begins to call the peer. Where one cannot be opened, none is. */
  start(): void {
    const { handler: _, clockUs: __, tickedEveryMs: ___, random, paths, ...rest } = this.options;
    const states: LinkState[] = [];
    try {
      for (const index of this.ports.keys()) states.push(this.startPort(index));
    } catch (error) {
      for (const port of this.ports) port.close();
      throw error;
    }
    const ends = states.map(({ frameBytesMax }, i) => ({ ...rateOf(paths[i]), frameBytesMax }));
    this.endpoint = new Endpoint(
      { makeCipher: nativeCipher, random: random ?? randomBytes, ...rest, paths: ends },
      this.clockUs(),
    );
    for (const [index, { up }] of states.entries()) {
      this.carriers[index] = up;
      if (!up) this.endpoint.linkChanged(index, false, this.clockUs());
    }
    this.dispatchEvents();
    this.flush();
  }

  private startPort(index: number): LinkState {
    const port = this.ports[index] as Port;
    const state = port.start({
      frame: (bytes, start, end) => this.frame(index, bytes, start, end),
      batchEnd: () => this.batchEnd(),
      writable: () => this.flush(),
      link: (link) => this.link(index, link),
    });
    if (state.frameBytesMax >= FRAME_BYTES_BASE) return state;
    const need = `frames of ${FRAME_BYTES_BASE} bytes`;
    throw new LogchanError('E_INTERFACE', `${port.name}: its MTU is too small for ${need}`);
  }

  /** Says goodbye to the peer and closes the ports. May be called twice. */
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
    for (const port of this.ports) port.close();
  }

  /** Some path has a carrier. */
  get linkUp(): boolean {
    return this.carriers.includes(true);
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
    return this.put(LANE.log, message, options.urgent ? 'urgent' : 'none');
  }

  /** The same for one that leaves at once and that nobody waits for. */
  appendPassing(message: Uint8Array): number {
    return this.put(LANE.log, message, 'passing');
  }

  appendBulk(chunk: Uint8Array): number {
    return this.put(LANE.bulk, chunk, 'none');
  }

  private put(lane: Lane, message: Uint8Array, haste: Haste): number {
    if (this.endpoint === undefined) throw new Error('append to a channel that is not started');
    const index = this.endpoint.append(lane, message, haste, this.clockUs());
    // What is said to frames that came leaves when all of them are heard.
    if (this.isInBatch) return index;
    if (haste === 'none') this.flushSoon();
    else this.flush();
    return index;
  }

  /** The next message from the peer, or undefined; taking it makes room for another. In `into`, where it fits. */
  take(lane: Lane = LANE.log, into?: Uint8Array): Uint8Array | undefined {
    const message = this.endpoint?.take(lane, into);
    if (message !== undefined && this.endpoint?.owesCredit) this.flushSoon();
    return message;
  }

  /** Smoothed, of the path in use of the session that stands; 0: none. */
  get rttUs(): number {
    return this.endpoint?.session?.paths.active.rtt.smoothedUs ?? 0;
  }

  /** What a frame carries at most; 0: no session stands. */
  get frameBytes(): number {
    return this.endpoint?.session?.paths.active.size.bytes ?? 0;
  }

  /** All of it, for people: asks the kernel, too. */
  state(): ChannelState {
    const session = this.endpoint?.session;
    return {
      up: this.isUp,
      linkUp: this.linkUp,
      frameBytes: this.frameBytes,
      rttUs: this.rttUs,
      rttLowestUs: session?.paths.active.rtt.lowestUs ?? 0,
      framesSent: session?.framesSent ?? 0,
      framesReceived: session?.framesReceived ?? 0,
      repeatedBytes: session?.out.reduce((sum, lane) => sum + lane.repeatedBytes, 0) ?? 0,
      timeouts: session?.timeouts ?? 0,
      drops: { ...(this.endpoint?.drops ?? ({} as DropCounters)) },
      paths: this.ports.map((port, index) => ({
        ...this.pathFacts(index),
        port: port.counters(),
      })),
    };
  }

  /** Each path, best first: what is known here, without asking the kernel. */
  paths(): ChannelPathFacts[] {
    return this.ports.map((_, index) => this.pathFacts(index));
  }

  private pathFacts(index: number): ChannelPathFacts {
    const { port, name = port.name } = this.options.paths[index] as ChannelPath;
    const paths = this.endpoint?.session?.paths;
    const path = paths?.all[index];
    return {
      name,
      linkUp: this.carriers[index] ?? false,
      trouble: port.trouble ?? null,
      isActive: paths !== undefined && paths.active === path,
      isLost: path?.isLost,
      rttUs: path === undefined || path.rtt.samples === 0 ? 0 : path.rtt.smoothedUs,
      rttLowestUs: path === undefined || path.rtt.samples === 0 ? 0 : path.rtt.lowestUs,
      frameBytes: path?.size.bytes ?? 0,
      framesSent: path?.framesSent ?? 0,
      framesReceived: path?.framesReceived ?? 0,
      bytesSent: path?.bytesSent ?? 0,
      logBytesSent: path?.logBytesSent ?? 0,
    };
  }

  private frame(path: number, bytes: Uint8Array, start: number, end: number): void {
    this.endpoint?.receive(path, bytes, start, end, this.clockUs());
    // Now, while the port still knows who sent this frame.
    if (this.endpoint?.hasEvents) this.dispatchEvents();
  }

  private batchEnd(): void {
    // First what the owner says to it, so that one frame carries that and the acknowledgement.
    this.isInBatch = true;
    try {
      this.tellProgress();
    } finally {
      this.isInBatch = false;
    }
    this.flush();
  }

  private link(path: number, link: LinkState): void {
    this.carriers[path] = link.up;
    this.endpoint?.portSize(path, link.frameBytesMax, this.clockUs());
    this.endpoint?.linkChanged(path, link.up, this.clockUs());
    this.dispatchEvents();
    this.flush();
  }

  /** Everything that leaves now, then the timer for what leaves later. */
  private flush(): void {
    const { endpoint } = this;
    if (endpoint === undefined) return;
    const nowUs = this.clockUs();
    for (let path = 0; path < this.ports.length; path++) this.flushPath(endpoint, path, nowUs);
    this.arm(endpoint.wakeUs(nowUs), nowUs);
  }

  private flushPath(endpoint: Endpoint, path: number, nowUs: number): void {
    const port = this.ports[path] as Port;
    let queued = false;
    for (let slot = port.slot(); slot !== undefined; slot = port.slot()) {
      const bytes = endpoint.write(path, slot, nowUs);
      if (bytes === 0) break;
      port.queue(bytes);
      queued = true;
    }
    if (queued) port.flush();
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
      if (event.type === 'up' || event.type === 'joined') this.ports[event.path]?.adoptSender();
      if (event.type === 'down') {
        for (const port of this.ports) port.forgetPeer();
        this.ackedTold = 0;
        this.bulkAckedTold = 0;
        this.receivedTold = 0;
      }
      this.handler.event?.(event);
    }
  }

  /** Time has passed, the owner says. */
  tick(): void {
    if (this.endpoint === undefined) return;
    const nowUs = this.clockUs();
    if (this.wakeUs <= nowUs) this.wake();
    else this.arm(this.wakeUs, nowUs);
  }

  /** A timer that is due earlier stays: when it fires it finds out what is due. */
  private arm(wakeUs: number, nowUs: number): void {
    this.wakeUs = wakeUs;
    if (wakeUs >= this.timerUs || wakeUs - nowUs > this.tickedEveryUs / 2) return;
    clearTimeout(this.timer);
    this.timerUs = wakeUs;
    this.timer = setTimeout(() => this.wake(), Math.max(1, Math.ceil((wakeUs - nowUs) / 1000)));
  }

  private wake(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.timerUs = Number.POSITIVE_INFINITY;
    this.endpoint?.tick(this.clockUs());
    this.dispatchEvents();
    this.tellProgress();
    this.flush();
  }
}

function hostClockUs(): number {
  return performance.now() * 1000;
}

function rateOf(path: ChannelPath | undefined): { rateBytesPerSecond?: number } {
  const rateBytesPerSecond = path?.rateBytesPerSecond;
  return rateBytesPerSecond === undefined ? {} : { rateBytesPerSecond };
}

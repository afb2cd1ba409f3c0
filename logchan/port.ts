// What carries frames: the one place where the channel touches the world. A port moves bytes and
// counts; it knows nothing of sessions. It may lose, repeat, reorder and alter frames.
//
// Sending: ask slot() for room, write a frame there, queue() its length, and after the last one
// flush(). When slot() has no room, writable() will be called. Receiving: frame() for each frame of
// a batch, then batchEnd() once.

export interface LinkState {
  up: boolean;
  /** Largest frame the port takes now. */
  frameBytesMax: number;
}

export interface PortHandler {
  /**
   * The frame in bytes[start, end), a plain Uint8Array (slice() of a Buffer is no copy). The bytes
   * are the port's again when this returns.
   */
  frame(bytes: Uint8Array, start: number, end: number): void;
  batchEnd(): void;
  writable(): void;
  link(state: LinkState): void;
}

/** Frames since the port was started. Everything lost below us shows here, if the port can know. */
export interface PortCounters {
  received: number;
  sent: number;
  /** Arrived, but there was no room in the receive ring. */
  overrun: number;
  /** Larger than the receive ring's slots. */
  oversized: number;
  /** Addressed to another board, or from one that is not our peer. */
  foreign: number;
  /** Refused by the kernel or the driver when sending. */
  unsent: number;
}

export function portCounters(): PortCounters {
  return { received: 0, sent: 0, overrun: 0, oversized: 0, foreign: 0, unsent: 0 };
}

export interface Port {
  /** For people: "eth1", "10.0.0.2 over eth1". */
  readonly name: string;
  /** Why it has no link, where that is not the carrier: in words. */
  readonly trouble?: string | undefined;
  /** Touches the world. Called once. */
  start(handler: PortHandler): LinkState;
  slot(): Uint8Array | undefined;
  queue(bytes: number): void;
  flush(): void;
  /** Whoever sent the frame now in frame() is the peer: send to it alone. */
  adoptSender(): void;
  /** The peer is gone: send so that any peer hears it. */
  forgetPeer(): void;
  counters(): PortCounters;
  /** May be called twice. No handler method is called afterwards. */
  close(): void;
}

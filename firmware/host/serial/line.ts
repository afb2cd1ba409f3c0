// The host's end of a guest's serial port, whatever it is made of.

export interface SerialLine {
  /** Where it can be found, for people; undefined when there is nothing to find. */
  readonly where: string | undefined;
  /** Why nothing passes now, in words; it is opened anew by itself. */
  readonly trouble: string | null;
  /** What the guest sent. Never waits: what nobody takes is dropped and counted. */
  write(bytes: Uint8Array): void;
  /** The guest is behind: give no more input until `resume()`. */
  pause(): void;
  resume(): void;
  /** Leaves the host as it was. May be called twice. */
  close(): Promise<void>;
}

export interface SerialLineEvents {
  onBytes: (bytes: Uint8Array) => void;
  /** A person at the console wants to leave. */
  onLeave: () => void;
  /** For people: it is lost, or can be found elsewhere now. */
  onNotice?: (words: string) => void;
}

/** Text nobody reads: beyond this a line drops what the guest sends. */
export const UNREAD_BYTES_MAX = 1 << 20;

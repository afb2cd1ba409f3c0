// The host's end of a guest's serial port, whatever it is made of.
import type { LineSettings } from './guest-lines.ts';

export interface SerialLine {
  /** Where it can be found, for people; undefined when there is nothing to find. */
  readonly where: string | undefined;
  /** Why nothing passes now, in words; it is opened anew by itself. */
  readonly trouble: string | null;
  /** What the guest sent. Never waits: what nobody takes is dropped and counted. */
  write(bytes: Uint8Array): void;
  /** Rate, frame and modem lines as the guest sets them, where the line is a wire. */
  set?(settings: LineSettings): void;
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
  /**
   * Whether somebody takes what the guest sends, told when it changes; before the first word somebody does.
   * A guest with flow control sends nothing meanwhile.
   */
  onTaken?: (isTaken: boolean) => void;
  /** For people: it is lost, or can be found elsewhere now. */
  onNotice?: (words: string) => void;
}

/** Text nobody reads: beyond this a line drops what the guest sends. */
export const UNREAD_BYTES_MAX = 1 << 20;
/** Beyond this the guest is told to wait; far below, since what is on its way still comes. */
export const UNREAD_BYTES_HIGH = 64 << 10;

/** Tells once when a reader falls behind, and once when it has read everything. */
export class Unread {
  private readonly onTaken: (isTaken: boolean) => void;
  private readonly highBytes: number;
  private isTaken = true;

  constructor(onTaken: SerialLineEvents['onTaken'], highBytes = UNREAD_BYTES_HIGH) {
    this.onTaken = onTaken ?? (() => {});
    this.highBytes = highBytes;
  }

  /** So many bytes wait for a reader. */
  wait(bytes: number): void {
    if (bytes >= this.highBytes) this.tell(false);
    else if (bytes === 0) this.tell(true);
  }

  /** There is no reader. */
  nobody(): void {
    this.tell(false);
  }

  private tell(isTaken: boolean): void {
    if (isTaken === this.isTaken) return;
    this.isTaken = isTaken;
    this.onTaken(isTaken);
  }
}

// The host's end of a guest's network card, whatever it is made of.

export interface NetLink {
  /** Where the cable goes, for people. */
  readonly where: string;
  /** Why no frame passes now, in words; it is taken again by itself when it is back. */
  readonly trouble: string | null;
  /** From now on frames are handed in; what comes before is lost, as on a cable that is not plugged in. */
  start(): void;
  /** Sends at once or drops, as a network does. */
  send(frame: Uint8Array): void;
  /** May be called twice. */
  close(): Promise<void>;
}

export interface NetLinkEvents {
  onFrames: (frames: readonly Uint8Array[]) => void;
  /** The link is of no use any more, or again, in words; the guest goes on. */
  onTrouble: (words: string) => void;
}

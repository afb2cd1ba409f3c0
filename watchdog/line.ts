// What a serial line is to the code above it, real or fake: bytes both ways, and modem lines where
// the hardware has them. Pseudo-terminals have none.

export interface ModemLines {
  /** The other end has power and its port is open. */
  readonly dsr: boolean;
  readonly dcd: boolean;
  readonly cts: boolean;
}

export interface SerialLine {
  onData: (bytes: Uint8Array) => void;
  onUp: () => void;
  /** Hung up or gone; the line tries by itself to come back. */
  onDown: (why: string) => void;
  /** False when nothing can be written now: line down, or the last bytes are still going out. */
  write(bytes: Uint8Array): boolean;
  /** Null where there are none. */
  modemLines(): Promise<ModemLines | null>;
  stop(): Promise<void>;
}

export type LineVerdict = 'talking' | 'cable' | 'peer-silent' | 'unknown';

/** Tells a cut cable from a silent peer, where the lines allow it. A wired line keeps DSR and DCD. */
export function judgeLine(
  heardMs: number,
  silentMs: number,
  lines: ModemLines | null,
): LineVerdict {
  if (heardMs <= silentMs) return 'talking';
  if (lines === null) return 'unknown';
  return lines.dsr || lines.dcd || lines.cts ? 'peer-silent' : 'cable';
}

export const VERDICT_WORDS: Record<LineVerdict, string> = {
  talking: 'frames of the peer arrive',
  cable: 'silent, and no modem line is up: the cable is out or the peer has no power',
  'peer-silent': 'silent, but the modem lines are up: the cable is good, the peer does not speak',
  unknown: 'silent; this port has no modem lines to tell why',
};

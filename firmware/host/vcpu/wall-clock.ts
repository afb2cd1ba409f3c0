// When a guest's CMOS clock has to be told what time it is: where it would show something else than this host's
// wall clock. So it is right at each read, and a log has an entry only where somebody set the host's clock,
// the guest's time fell behind, or another board leads. Pure.
import type { VirtualNs } from '../../devices/contracts.ts';

/** Looked at so often, in real time. */
const LOOK_NS = 250_000_000n;
/** A clock that shows seconds need not be nearer. */
const OFF_MAX_NS = 20_000_000n;

export class WallClock {
  /** Nanoseconds since 1970. */
  private readonly wallNs: () => bigint;
  private lookedNs: bigint | undefined;
  /** Time of day minus virtual time, as the guest was told last; undefined: not by this board. */
  private lineNs: bigint | undefined;

  constructor(wallNs: () => bigint) {
    this.wallNs = wallNs;
  }

  /** The guest is about to run; what it has to be told before, or undefined. */
  due(realNs: bigint, virtualNs: VirtualNs): bigint | undefined {
    if (this.lookedNs !== undefined && realNs - this.lookedNs < LOOK_NS) return undefined;
    this.lookedNs = realNs;
    const wallNs = this.wallNs();
    // Before 1970 no CMOS clock was set.
    if (wallNs < 0n) return undefined;
    if (this.lineNs !== undefined) {
      const off = wallNs - virtualNs - this.lineNs;
      if (off <= OFF_MAX_NS && off >= -OFF_MAX_NS) return undefined;
    }
    this.lineNs = wallNs - virtualNs;
    return wallNs;
  }
}

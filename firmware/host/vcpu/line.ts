// The line of a guest's clock on its way from one board to another: real minus virtual time, as it should be from
// power-on to power-off. Each board's own real time has another zero, so it is known by whose clock it is.
export interface Line {
  readonly offsetNs: bigint;
  readonly by: 'own' | 'leader';
}

/** A line further away is not that of this guest: a clock that was set, a peer that started anew. */
const BEHIND_MAX_NS = 600_000_000_000n;
const AHEAD_MAX_NS = 1_000_000_000n;

/**
 * The line by this board's clock, `peerClockNs` being this clock minus the leader's; undefined: not known, or
 * nothing a guest could go on with.
 */
export function lineHere(
  line: Line | undefined,
  peerClockNs: bigint | undefined,
  now: { readonly realNs: bigint; readonly virtualNs: bigint },
): bigint | undefined {
  const shiftNs = line?.by === 'own' ? 0n : peerClockNs;
  if (line === undefined || shiftNs === undefined) return undefined;
  const offsetNs = line.offsetNs + shiftNs;
  const behindNs = now.realNs - offsetNs - now.virtualNs;
  return behindNs > BEHIND_MAX_NS || behindNs < -AHEAD_MAX_NS ? undefined : offsetNs;
}

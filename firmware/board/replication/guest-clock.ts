// How right the guest's clock is while it is led here, over all machines that come and go: now, and at worst.
import type { VcpuFacts } from '../../host/vcpu/vcpu.ts';
import type { PeerClockOffset } from '../../lockstep/peer-clock.ts';
import type { GuestClockFacts } from './types.ts';

export class GuestClock {
  private worstNs = 0n;
  private hasLed = false;

  /** Often: a machine that leaves takes its words along. */
  look(vcpu: VcpuFacts | undefined, leads: boolean): void {
    if (vcpu === undefined || !leads) return;
    this.hasLed = true;
    if (size(vcpu.clockWorstNs) > size(this.worstNs)) this.worstNs = vcpu.clockWorstNs;
  }

  facts(
    vcpu: VcpuFacts | undefined,
    leads: boolean,
    peer: PeerClockOffset | undefined,
  ): GuestClockFacts {
    this.look(vcpu, leads);
    return {
      offMs: vcpu === undefined || !leads ? null : toMs(vcpu.clockErrorNs),
      worstMs: this.hasLed ? toMs(this.worstNs) : null,
      peerErrorMs: peer === undefined ? null : toMs(peer.errorNs),
    };
  }
}

/** To the microsecond: below that nobody reads it. */
export const toMs = (ns: bigint): number => Math.round(Number(ns) / 1e3) / 1e3;
const size = (value: bigint): bigint => (value < 0n ? -value : value);

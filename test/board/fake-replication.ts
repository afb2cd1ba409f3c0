// Replication without a guest: they answer as real ones do, after a while and never inside the call, and
// write down what they were told. Two of them share a link that a test can cut.
import {
  type CurrentRole,
  NO_CHECK,
  NO_SYNC,
  type Replication,
  type ReplicationEvents,
  type ReplicationFacts,
  type Takeover,
} from '../../firmware/board/replication/types.ts';
import type { Gate, Grant } from '../../watchdog/arbiter-types.ts';

const SYNC_MS = 20;

export class FakeLink {
  isUp = true;
  private readonly ends: FakeReplication[] = [];

  join(end: FakeReplication): void {
    this.ends.push(end);
  }

  leave(end: FakeReplication): void {
    this.ends.splice(this.ends.indexOf(end), 1);
  }

  /** Later, if the link is up now and then. */
  toPeer(from: FakeReplication, message: (peer: FakeReplication) => void): boolean {
    if (!this.isUp) return false;
    setImmediate(() => {
      const peer = this.ends.find((end) => end !== from);
      if (this.isUp && peer !== undefined) message(peer);
    });
    return true;
  }
}

export class FakeReplication implements Replication {
  readonly calls: string[] = [];
  told: CurrentRole | null = null;
  gateIs: Gate = 'closed';
  guest: ReplicationFacts['guest'] = 'none';
  /** A running guest moves; a stuck one does not. */
  lagMs: number | null = null;
  syncRateMibS = 0;
  isStuck = false;
  diskTrouble: string | null = null;
  missing: string | null = null;
  target: number | null = null;
  private readonly link: FakeLink;
  private readonly events: ReplicationEvents;
  private readonly nowMs: () => number;
  private readonly onGate: () => void;
  private takeover: Takeover | null = null;
  private timer: NodeJS.Timeout | null = null;
  private isClosed = false;

  constructor(link: FakeLink, events: ReplicationEvents, nowMs: () => number, onGate: () => void) {
    this.link = link;
    this.events = events;
    this.nowMs = nowMs;
    this.onGate = onGate;
  }

  start(): void {
    this.link.join(this);
  }

  tellRole(current: CurrentRole): void {
    this.told = current;
  }

  gate(gate: Gate): void {
    this.calls.push(`gate ${gate}`);
    this.gateIs = gate;
    this.onGate();
  }

  bootGuest(): void {
    this.call('bootGuest', 'leading');
  }

  goLive(): void {
    if (this.guest !== 'following' && this.guest !== 'paused')
      throw new Error('no machine to lead with');
    this.call('goLive', 'leading');
    this.takeover = {
      cause: 'fake',
      generation: this.told!.generation,
      drainedMs: 1,
      liveMs: 2,
      firstOutputMs: 3,
    };
  }

  pauseGuest(): void {
    this.call('pauseGuest', 'paused');
  }

  resumeGuest(): void {
    this.call('resumeGuest', 'leading');
  }

  discardGuest(): void {
    this.call('discardGuest', 'none');
    setImmediate(() => this.events.arbiter({ type: 'guest-discarded' }));
  }

  syncSource(partner: Grant): void {
    this.calls.push('syncSource');
    this.timer = setTimeout(() => {
      this.link.toPeer(this, (peer) => {
        if (peer.target !== partner.session) return;
        peer.guest = 'following';
        setImmediate(() => this.events.arbiter({ type: 'sync-done', partner }));
      });
    }, SYNC_MS);
  }

  syncTarget(session: number): void {
    this.call('syncTarget', 'none');
    this.target = session;
  }

  setSyncRate(mibS: number): void {
    this.syncRateMibS = mibS;
  }

  syncStop(): void {
    this.calls.push('syncStop');
    this.target = null;
    if (this.timer !== null) clearTimeout(this.timer);
  }

  markLog(mark: 'grant' | 'leave', partner: Grant): void {
    this.calls.push(`markLog ${mark}`);
    this.link.toPeer(this, (peer) =>
      peer.events.arbiter({ type: 'marked', mark, session: partner.session }),
    );
  }

  follow(): void {
    this.call('follow', 'following');
  }

  announceGuest(): void {
    this.calls.push('announceGuest');
  }

  sayOnLog(frame: Uint8Array): boolean {
    const copy = frame.slice();
    return !this.isClosed && this.link.toPeer(this, (peer) => peer.events.statement(copy));
  }

  tick(): void {}
  facts(): ReplicationFacts {
    const runs = this.guest === 'leading' || this.guest === 'following';
    return {
      guest: this.guest,
      position: this.isStuck ? 7n : BigInt(Math.floor(this.nowMs() * 1e3)),
      virtualNs: 0n,
      runs,
      lives: 1,
      clock: { offMs: 0, worstMs: 0, peerErrorMs: null },
      engine: { kind: 'soft', why: 'asked for' },
      lagMs: this.lagMs,
      isFarBehind: (this.lagMs ?? 0) > 1000,
      syncRateMibS: this.syncRateMibS,
      logKbps: 0,
      gate: { mode: this.gateIs, waiting: 0, oldestMs: 0 },
      link: { up: this.link.isUp, rttUs: 50, frameBytes: 1500, paths: [] },
      sync: NO_SYNC,
      check: NO_CHECK,
      lastTakeover: this.takeover,
      disks: [{ path: 'fake.img', trouble: this.diskTrouble }],
      diskBusySinceMs: null,
      nets: [],
      peerAbout: null,
      isReady: this.missing === null,
      missing: this.missing,
    };
  }

  close(): Promise<void> {
    if (this.isClosed) return Promise.resolve();
    this.isClosed = true;
    this.syncStop();
    this.link.leave(this);
    this.guest = 'none';
    return Promise.resolve();
  }

  private call(name: string, guest: ReplicationFacts['guest']): void {
    this.calls.push(name);
    this.guest = guest;
  }
}

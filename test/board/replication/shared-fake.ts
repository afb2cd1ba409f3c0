// What the leading and the following side need around them, as a script: they decide, it writes down.
import type { BoardFacts } from '../../../firmware/board/replication/compat.ts';
import { KeptMemory } from '../../../firmware/board/replication/kept-memory.ts';
import { decodeLogMessage, type LogMessage } from '../../../firmware/board/replication/messages.ts';
import type { Shared } from '../../../firmware/board/replication/shared.ts';
import type { CurrentRole } from '../../../firmware/board/replication/types.ts';
import { LAG_LIMITS } from '../../../firmware/lockstep/lag.ts';
import { SYNC_PLAN_LIMITS } from '../../../firmware/lockstep/sync-plan.ts';
import type { ArbiterEvent } from '../../../watchdog/arbiter-types.ts';
import { assert } from '../../harness/index.ts';

export const FACTS: BoardFacts = {
  messagesVersion: 1,
  firmwareVersion: '0.1.0',
  engine: 'soft',
  cpuModel: 'x86-64-v2',
  memoryBytes: 1 << 20,
  commandLine: 'quiet',
  kernel: Uint8Array.of(0xaa),
  initrd: null,
  disks: [],
  macs: [],
  hasConsole: false,
  restartsOn: [],
};

export class SharedFake {
  readonly sent: LogMessage[] = [];
  readonly events: string[] = [];
  readonly texts: string[] = [];
  readonly arbiter: ArbiterEvent[] = [];
  readonly acked: number[] = [];
  readonly heard: Uint8Array[] = [];
  readonly throttled: number[] = [];
  nowMs = 1_000;
  linkWorks = true;
  facts: BoardFacts | undefined = FACTS;
  role: CurrentRole = {
    ...{ role: 'target', pairState: 'SYNCUP', boot: 7, generation: 2, session: 5, grant: null },
  };
  readonly shared: Shared;
  readonly runner = {
    leads: true,
    disks: [],
    kept: new KeptMemory({ bytes: FACTS.memoryBytes, isInUse: () => false }),
    pushed: [] as Uint8Array[],
    emptied: 0,
    vcpu: {
      throttle: (share: number) => this.throttled.push(share),
      push: (log: Uint8Array) => this.runner.pushed.push(log),
      stopLog: async () => {},
      facts: () => ({ piecesApplied: 0, position: 0n, virtualNs: 0n }),
    },
    memory: () => new Uint8Array(0),
    adopt: async () => {},
    empty: async () => {
      this.runner.emptied++;
    },
  };
  private tasks: Promise<void> = Promise.resolve();

  constructor() {
    const link = {
      send: (bytes: Uint8Array) => {
        const decoded = decodeLogMessage(bytes);
        assert.ok(decoded.ok);
        if (this.linkWorks) this.sent.push(decoded.message);
        return this.linkWorks;
      },
      wantBulk: () => {},
      wakeSenders: () => {},
    };
    Object.defineProperty(link, 'isUp', { get: () => this.linkWorks });
    const { runner } = this;
    const guestOutput = {
      acked: (through: number) => this.acked.push(through),
      restart: () => {},
      clear: () => {},
      heard: () => Uint8Array.of(8, 0),
      takeHeard: (heard: Uint8Array) => this.heard.push(heard),
      releasedThere: () => {},
    };
    this.shared = {
      ...{ runner, link, guestOutput },
      events: {
        arbiter: (event: ArbiterEvent) => this.arbiter.push(event),
        statement: () => {},
        event: ({ code, text }: { code: string; text: string }) => {
          this.events.push(code);
          this.texts.push(text);
        },
      },
      limits: {
        lag: LAG_LIMITS,
        sync: SYNC_PLAN_LIMITS,
        retryMs: 60_000,
        catchUpMs: 15_000,
        baseMs: 30_000,
      },
      nowMs: () => this.nowMs,
      current: () => this.role,
      facts: () => this.facts,
      inTurn: (_what: string, work: () => Promise<void>) => {
        this.tasks = this.tasks.then(work);
      },
    } as unknown as Shared;
  }

  is(change: Partial<CurrentRole>): void {
    this.role = { ...this.role, ...change };
  }

  /** Everything that was put in turn is done. */
  async idle(): Promise<void> {
    await this.tasks;
  }

  types(): string[] {
    return this.sent.map(({ type }) => type);
  }
}

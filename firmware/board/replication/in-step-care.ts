// What a leader does for the disks while its follower is in step: it renews the base both remember (bases.ts), and
// compares them slowly (disk-check.ts).
import type { EventCode } from '../event-codes.ts';
import { type BaseStep, LeadingBases } from './bases.ts';
import { BLOCK_BYTES, type BulkMessage } from './bulk-messages.ts';
import { LeadingCheck } from './disk-check.ts';
import { encodeLogMessage, type LogMessage } from './messages.ts';
import { Passing } from './passing.ts';
import type { Shared } from './shared.ts';
import type { StreamOut } from './stream-out.ts';
import type { CheckFacts } from './types.ts';

/** Numbers of blocks in one line. */
const BLOCKS_TOLD = 16;
/** More than a medium loses here and there: then nothing of the disks is relied on. */
const MANY_BLOCKS = 256;

export interface CareParts {
  readonly event: (code: EventCode, text: string, data?: Readonly<Record<string, unknown>>) => void;
  /** The follower is to be brought into step again. */
  readonly drop: (code: EventCode, reason: string) => void;
}

export class InStepCare {
  private readonly shared: Shared;
  private readonly stream: StreamOut;
  private readonly parts: CareParts;
  private readonly bases: LeadingBases;
  private readonly check: LeadingCheck;
  private readonly passing = new Passing();

  constructor(shared: Shared, stream: StreamOut, parts: CareParts) {
    this.shared = shared;
    this.stream = stream;
    this.parts = parts;
    const passed = () => this.passed();
    this.bases = new LeadingBases(
      {
        changes: () => shared.changes?.log,
        flushed: async () => shared.changes?.flushed(),
        say: (step, base) => this.sayBase(step, base),
        passed,
      },
      shared.limits.baseMs,
    );
    this.check = new LeadingCheck({
      ...{ disks: shared.runner.disks, mibS: shared.checkMibS, nowMs: shared.nowMs },
      ...{ wallMs: () => Date.now(), passed },
      say: (look) => stream.look(look),
      differs: (disk, blocks) => this.differs(disk, blocks),
      finished: (facts) => this.checked(facts),
    });
  }

  get checkFacts(): CheckFacts {
    return this.check.facts;
  }

  /** Often, while a follower is in step. */
  look(nowMs: number): void {
    const { newestAck } = this.stream;
    if (newestAck !== undefined) this.passing.acked(newestAck);
    this.bases.look(nowMs);
    this.check.look();
  }

  stop(): void {
    this.bases.stop();
    this.check.stop();
    this.passing.stop();
  }

  private passed(): Promise<void> {
    const position = this.shared.runner.vcpu?.facts().position ?? 0n;
    return this.passing.passed({ applied: this.stream.cover, position });
  }

  /** From the first block on, whenever the last round was. */
  compareNow(): void {
    this.check.startRound();
  }

  /** What the follower says of a base. */
  base({ step, session, base }: Extract<LogMessage, { type: 'base' }>): void {
    if (session !== this.stream.follower?.session || this.stream.state !== 'flowing') return;
    if (step === 'settled') this.bases.settled(base);
    // A disk that fails is told by itself; the base never counts then.
    if (step === 'begun') this.bases.begun(base).catch(() => this.bases.stop());
  }

  looked({ id, zeros, hashes }: Extract<BulkMessage, { type: 'looked' }>): void {
    // A disk that cannot be read is told by itself.
    this.check.looked(id, { zeros, hashes }).catch(() => this.check.stop());
  }

  private sayBase(step: BaseStep, base: number): void {
    const { session } = this.stream.follower ?? {};
    if (step === 'here') this.stream.baseHere(base);
    else if (session !== undefined) {
      this.shared.link.send(encodeLogMessage({ type: 'base', step, session, base }), false);
    }
  }

  /** Nobody wrote them, and they are not the same: this board's are the guest's. The sync-up compares them again. */
  private differs(disk: number, blocks: readonly number[]): void {
    const some = blocks.slice(0, BLOCKS_TOLD).join(', ');
    const more = blocks.length > BLOCKS_TOLD ? ` and ${blocks.length - BLOCKS_TOLD} more` : '';
    const words = `disk ${disk}: blocks ${some}${more} of 64 KiB are not the same on both boards`;
    if (this.shared.runner.disks[disk]?.isReadOnly) {
      // A sync-up would refuse it, and the guest is better with a backup than without.
      this.parts.event('DISK-DIFFERS', `${words}; nobody writes a read-only disk: mend it by hand`);
      return;
    }
    const letGo = () => this.parts.drop('DISK-DIFFERS', `${words}; they are made so`);
    this.remember(disk, blocks).then(letGo, letGo);
  }

  private async remember(disk: number, blocks: readonly number[]): Promise<void> {
    const { runner, changes } = this.shared;
    if (this.check.facts.differing > MANY_BLOCKS) {
      await changes?.log?.forget('the disks were not the same');
      return;
    }
    const ranges = blocks.map((block) => ({ offset: block * BLOCK_BYTES, bytes: BLOCK_BYTES }));
    await changes?.log?.mark(runner.disks.map((_, index) => (index === disk ? ranges : [])));
  }

  private checked({ lastDiffering }: CheckFacts): void {
    const found = lastDiffering === 0 ? 'are the same' : `differed in ${lastDiffering} blocks`;
    const text = `all disks ${found} on both boards`;
    this.parts.event('DISK-COMPARED', text, { differing: lastDiffering });
  }
}

// The disks of a sync-up as the leader brings them over: what the target has is told by its surveys, what differs
// goes out, then what the guest wrote meanwhile. The looking is done by sync-up's own thread; here a run of blocks
// is handed to the link in one go.
import { RUN_WORDS, type SyncWorker } from '../../../native/index.ts';
import {
  BLOCK_HASH_BYTES,
  type BlockSurvey,
  type DiskReplica,
  isZeroBlock,
} from '../../host/disk-replica.ts';
import type { RegionMap } from '../../lockstep/region-map.ts';
import type { BlockSet } from '../../lockstep/sync-blocks.ts';
import {
  BLOCK_BYTES,
  type BlockRange,
  blocksInPlace,
  encodeBulkMessage,
  RANGES_MAX,
} from './bulk-messages.ts';
import type { LogLink, StopSignal } from './log-link.ts';
import type { Surveys } from './surveys.ts';

export interface SourceDisksOptions {
  readonly surveys: Surveys;
  readonly link: LogLink;
  readonly disks: readonly DiskReplica[];
  readonly worker: SyncWorker;
  readonly signal: StopSignal;
  /** Throws Stopped when nobody wants it any more. */
  readonly check: () => void;
  /** So much of this board's disks was read. */
  readonly compared: (bytes: number) => Promise<void>;
}

export interface Block {
  readonly disk: number;
  readonly block: number;
  readonly bytes: Uint8Array;
}

export class SourceDisks {
  blocksCompared = 0;
  blocksSent = 0;
  private readonly options: SourceDisksOptions;
  private readonly written: BlockSet[];
  /** What must be compared of each disk; the target may want more. */
  private ranges: BlockRange[][] = [];

  constructor(options: SourceDisksOptions) {
    this.options = options;
    // Before the first block is read: a write that comes later is marked.
    this.written = options.disks.map((disk) => disk.watch());
  }

  /** What is written from now on is nobody's business. */
  end(): void {
    this.options.disks.forEach((disk, index) => {
      disk.unwatch(this.written[index]!);
    });
  }

  /** What the guest wrote and what has not gone out since. */
  get writtenBytes(): number {
    return this.written.reduce((sum, { size }) => sum + size, 0) * BLOCK_BYTES;
  }

  async compare(): Promise<void> {
    for (const [index, disk] of this.options.disks.entries()) {
      const differing = await this.compareDisk(index, disk);
      // Nobody writes it, so nobody can make it equal either: unlike ones are a mistake to be told.
      if (disk.isReadOnly && differing > 0) {
        throw new Error(`disk ${index} is read-only and not the same on both boards`);
      }
    }
  }

  /** What this board would have compared; undefined: all. */
  async sendRanges(since: readonly RegionMap[] | undefined): Promise<void> {
    const { disks, link, signal } = this.options;
    this.ranges = disks.map(({ blocks }, disk) =>
      since === undefined ? [{ first: 0, count: blocks }] : blockRanges(since[disk]!),
    );
    for (const [disk, all] of this.ranges.entries()) {
      for (let at = 0; at < all.length; at += RANGES_MAX) {
        const ranges = all.slice(at, at + RANGES_MAX);
        const message = { type: 'ranges', disk, isLast: false, ranges } as const;
        await link.sendBulk(encodeBulkMessage(message), signal);
      }
    }
    const last = { type: 'ranges', disk: 0, isLast: true, ranges: [] } as const;
    await link.sendBulk(encodeBulkMessage(last), signal);
  }

  /** As far as the target's surveys go: in order, over all that must be compared, and an empty one at the end. */
  private async compareDisk(index: number, disk: DiskReplica): Promise<number> {
    const must = this.ranges[index]!;
    let differing = 0;
    for (let next = 0; ; ) {
      const survey = await this.options.surveys.next();
      const { first, zeros, hashes } = survey;
      const count = zeros + hashes.length / BLOCK_HASH_BYTES;
      const isEnd = count === 0 && first === disk.blocks;
      const isOurs = survey.type === 'hashes' && survey.disk === index;
      const fits = isOurs && first >= next && first + count <= disk.blocks;
      if (!fits || (count === 0 && !isEnd) || isPassedOver(must, next, first)) {
        throw new Error('the target sends hashes of other blocks than it was asked for');
      }
      differing += await this.compareSome(index, disk, first, { zeros, hashes });
      this.blocksCompared += count;
      next = first + count;
      if (isEnd) return differing;
    }
  }

  private async compareSome(
    index: number,
    disk: DiskReplica,
    first: number,
    survey: BlockSurvey,
  ): Promise<number> {
    const { worker, check, compared, link, signal } = this.options;
    const end = first + survey.zeros + survey.hashes.length / BLOCK_HASH_BYTES;
    let differing = 0;
    for (let from = first; from < end; ) {
      const { next, runs, bytesRead } = await disk.compare(
        worker,
        from,
        rest(survey, from - first),
      );
      check();
      differing += await this.sendRuns(index, disk, runs);
      from = next;
      // Often: a survey may be of the whole disk, and what is equal is not compared again.
      const equal = { type: 'equal', disk: index, block: from } as const;
      await link.sendBulk(encodeBulkMessage(equal), signal);
      await compared(bytesRead);
    }
    return differing;
  }

  /** What the worker found to differ; answers how many blocks. */
  private async sendRuns(index: number, disk: DiskReplica, runs: number): Promise<number> {
    const { worker, link, signal } = this.options;
    const table = new Uint32Array(worker.runs, 0, runs * RUN_WORDS);
    const buffer = new Uint8Array(worker.buffer);
    let blocks = 0;
    for (let at = 0; at < table.length; at += RUN_WORDS) {
      const [first, count, offset, bytes] = table.subarray(at, at + RUN_WORDS) as unknown as [
        number,
        number,
        number,
        number,
      ];
      blocks += count;
      if (disk.isReadOnly) continue;
      const where = { disk: index, first, count };
      await link.sendBulk(
        bytes === 0 ? zerosMessage(where) : blocksInPlace(buffer, offset, bytes, where),
        signal,
      );
      this.blocksSent += count;
    }
    return blocks;
  }

  /** No more than are marked now: a guest that writes all the time has its next round. */
  async sendWritten(): Promise<void> {
    for (const [disk, replica] of this.options.disks.entries()) {
      const written = this.written[disk]!;
      for (let left = written.size; left > 0; left--) {
        const block = written.take();
        if (block === undefined) break;
        await this.send({ disk, block, bytes: await replica.readBlock(block) });
      }
    }
  }

  /** While the guest stands still. */
  async copyAside(): Promise<Block[]> {
    const aside: Block[] = [];
    for (const [disk, replica] of this.options.disks.entries()) {
      const written = this.written[disk]!;
      for (let block = written.take(); block !== undefined; block = written.take()) {
        aside.push({ disk, block, bytes: await replica.readBlock(block) });
      }
    }
    return aside;
  }

  async send({ disk, block, bytes }: Block): Promise<void> {
    const sent = isZeroBlock(bytes) ? bytes.subarray(0, 0) : bytes;
    const message = { type: 'blocks', disk, first: block, count: 1, bytes: sent } as const;
    await this.options.link.sendBulk(encodeBulkMessage(message), this.options.signal);
    this.blocksSent++;
  }
}

function zerosMessage(where: { disk: number; first: number; count: number }): Uint8Array {
  return encodeBulkMessage({ type: 'blocks', ...where, bytes: new Uint8Array(0) });
}

/** Blocks of the regions of a map. */
export function blockRanges(map: RegionMap): BlockRange[] {
  return [...map.ranges()].map(({ offset, bytes }) => ({
    first: offset / BLOCK_BYTES,
    count: Math.ceil(bytes / BLOCK_BYTES),
  }));
}

/** Whether one of the ranges, which are in order, has a block between the two. */
function isPassedOver(ranges: BlockRange[], from: number, until: number): boolean {
  while (ranges[0] !== undefined && ranges[0].first + ranges[0].count <= from) ranges.shift();
  return from < until && ranges[0] !== undefined && ranges[0].first < until;
}

/** A survey without its first blocks. */
function rest({ zeros, hashes }: BlockSurvey, blocks: number): BlockSurvey {
  const past = Math.max(0, blocks - zeros);
  return {
    zeros: Math.max(0, zeros - blocks),
    hashes: hashes.subarray(past * BLOCK_HASH_BYTES),
  };
}

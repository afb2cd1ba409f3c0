// What a board remembers of its disks, so that two boards that meet again compare only what may differ. A base is a
// moment with a number, at which both had the same on their disks; with each goes a map of what was written here
// since. Two boards that know the same base differ in what either wrote since, and nowhere else.
//
// A region is marked on the medium before the first write that touches it. The newest base takes the marks; what was
// written since an older one is in its map or in that of one that began later. A base counts from the moment it is
// settled: all that was written before it is on the disks' media. Tied to the pair, to the disks, and to the start
// before this one: who started in between did not mark.
import { createHash } from 'node:crypto';
import {
  type ByteRange,
  MAP_SECTOR_BYTES,
  opened,
  RegionMap,
  sealed,
} from '../lockstep/region-map.ts';
import type { ChangeStore } from './change-store.ts';

const MAGIC = Buffer.from('TWSCHG01');
const SLOTS = [0, 1, 2] as const;
const IDENTITY_BYTES = 16;
/** magic | base u64 | boot u32 | order u32 | settled u8 | pair | disks */
const HEAD = { base: 8, boot: 16, order: 20, settled: 24, pair: 25, disks: 25 + IDENTITY_BYTES };

/** Why nothing is remembered, in words for people. */
export type Forgotten =
  | 'nothing was kept'
  | 'another pair'
  | 'another disk'
  | 'another start came between'
  | 'a disk was written by somebody else'
  | 'the map was damaged'
  | 'the map could not be written'
  | 'the other board keeps nothing'
  | 'the disks were not the same'
  | 'a write failed'
  | 'a disk was taken anew';

export interface ChangeLogOptions {
  readonly store: ChangeStore;
  /** What tells this pair from others. */
  readonly pair: string;
  /** Each with what tells it from others. */
  readonly disks: readonly { readonly bytes: number; readonly identity: string }[];
  /** Number of this start. */
  readonly boot: number;
  /** Somebody else may have written the disks meanwhile. */
  readonly isSuspect?: boolean;
}

interface Epoch {
  readonly slot: number;
  readonly base: number;
  /** Grows with each. */
  readonly order: number;
  isSettled: boolean;
  /** As it is on the medium, for each disk. */
  readonly maps: readonly RegionMap[];
}

export class ChangeLog {
  /** Why there is no base, as long as there is none. */
  forgotten: Forgotten = 'nothing was kept';
  private readonly options: ChangeLogOptions;
  private readonly pair: Buffer;
  private readonly disks: Buffer;
  /** Oldest first. */
  private epochs: Epoch[] = [];
  private lastOrder = 0;
  private turn: Promise<void> = Promise.resolve();
  /** What waits to be marked, and whoever waits for it. */
  private wanted: { readonly disk: number; readonly range: ByteRange }[] = [];
  private marking: Promise<void> | undefined;

  /** Takes over what was kept, if it is of this board's disks and nobody started in between. */
  static async load(options: ChangeLogOptions): Promise<ChangeLog> {
    const log = new ChangeLog(options);
    await log.load();
    return log;
  }

  private constructor(options: ChangeLogOptions) {
    this.options = options;
    this.pair = identityOf(options.pair);
    this.disks = identityOf(
      options.disks.map(({ bytes, identity }) => `${bytes} ${identity}`).join('\n'),
    );
  }

  /** Bases that count, the newest first. */
  get bases(): number[] {
    return this.epochs.flatMap(({ base, isSettled }) => (isSettled ? [base] : [])).reverse();
  }

  /** What was written here since, for each disk; undefined: no such base. */
  since(base: number): RegionMap[] | undefined {
    const from = this.epochs.findIndex((epoch) => epoch.base === base && epoch.isSettled);
    if (from < 0) return undefined;
    return this.options.disks.map(({ bytes }, disk) => {
      const all = new RegionMap(bytes);
      for (const { maps } of this.epochs.slice(from)) all.add(maps[disk]!);
      return all;
    });
  }

  /** Regions marked since the newest base. */
  get markedBytes(): number {
    return this.newest?.maps.reduce((sum, map) => sum + map.marked * map.regionBytes, 0) ?? 0;
  }

  /** Before these bytes are written: undefined: at once; else when it is kept that they are. */
  before(disk: number, range: ByteRange): Promise<void> | undefined {
    const { newest } = this;
    if (newest === undefined || newest.maps[disk]!.hasAllOf(range)) return undefined;
    this.wanted.push({ disk, range });
    this.marking ??= this.inTurn(() => this.markWanted());
    return this.marking;
  }

  /** A base begins: from here on its map is marked. `isUnknown`: whatever lies on the disks may differ. */
  begin(base: number, isUnknown = false): Promise<void> {
    return this.inTurn(async () => {
      const epoch = await this.write(base, isUnknown);
      if (epoch !== undefined) this.epochs.push(epoch);
    });
  }

  /** All that was written before this base began is on the media. */
  settle(base: number): Promise<void> {
    return this.inTurn(async () => {
      const epoch = this.epochs.find((one) => one.base === base);
      if (epoch === undefined || epoch.isSettled) return;
      await this.kept(async () => {
        await this.writeHead({ ...epoch, isSettled: true });
        epoch.isSettled = true;
      });
    });
  }

  /** Whatever is there: these ranges may differ from what the other board has. */
  mark(ranges: readonly (readonly ByteRange[])[]): Promise<void> {
    for (const [disk, some] of ranges.entries()) {
      for (const range of some) this.wanted.push({ disk, range });
    }
    return this.inTurn(() => this.markWanted());
  }

  /** Before `until` all of a disk is as on the other board, and on the medium; before `from` that is known already. */
  clear(disk: number, from: number, until: number): Promise<void> {
    return this.inTurn(async () => {
      const { newest } = this;
      const map = newest?.maps[disk];
      if (newest === undefined || map === undefined) return;
      const first = Math.floor(from / map.regionBytes);
      const end = until >= map.diskBytes ? map.regions : Math.floor(until / map.regionBytes);
      const sectors = new Set<number>();
      for (let region = first; region < end; region++) {
        if (!map.has(region)) continue;
        map.clear(region);
        sectors.add(map.sectorOf(region));
      }
      await this.kept(() => this.writeSectors(newest, disk, sectors));
    });
  }

  /** No base counts any more, and none is kept. */
  forget(why: Forgotten): Promise<void> {
    // At once: nobody is to build on it meanwhile.
    this.epochs = [];
    this.forgotten = why;
    return this.inTurn(async () => {
      for (const slot of SLOTS) await this.erase(slot);
    });
  }

  async close(): Promise<void> {
    await this.turn;
    await this.options.store.close();
  }

  // ---- inside -------------------------------------------------------------------------------

  private get newest(): Epoch | undefined {
    return this.epochs.at(-1);
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.turn.then(work);
    this.turn = done.catch(() => {});
    return done;
  }

  private async markWanted(): Promise<void> {
    const wanted = this.wanted.splice(0);
    this.marking = undefined;
    const { newest } = this;
    if (newest === undefined) return;
    const sectors = this.options.disks.map(() => new Set<number>());
    // What is on the medium is said to be so only when it is.
    const next = newest.maps.map((map) => copyOf(map));
    for (const { disk, range } of wanted) {
      const map = next[disk]!;
      const [first, last] = map.span(range);
      for (let region = first; region <= last; region++) {
        if (map.has(region)) continue;
        map.mark(region);
        sectors[disk]!.add(map.sectorOf(region));
      }
    }
    await this.kept(async () => {
      for (const [disk, some] of sectors.entries()) {
        await this.writeSectors({ ...newest, maps: next }, disk, some, false);
      }
      if (sectors.some(({ size }) => size > 0)) await this.options.store.sync(newest.slot);
      for (const [disk, map] of newest.maps.entries()) map.add(next[disk]!);
    });
  }

  private async writeSectors(
    { slot, maps }: Epoch,
    disk: number,
    sectors: ReadonlySet<number>,
    isSynced = true,
  ): Promise<void> {
    const { store } = this.options;
    for (const sector of sectors) {
      await store.write(slot, this.offsetOf(disk, sector), maps[disk]!.sector(sector));
    }
    if (isSynced && sectors.size > 0) await store.sync(slot);
  }

  /** Where a sector of a disk's map lies in a slot. */
  private offsetOf(disk: number, sector: number): number {
    let sectors = 1 + sector;
    for (const { bytes } of this.options.disks.slice(0, disk))
      sectors += new RegionMap(bytes).sectors;
    return sectors * MAP_SECTOR_BYTES;
  }

  private async write(base: number, isUnknown: boolean): Promise<Epoch | undefined> {
    const slot = await this.freeSlot();
    const maps = this.options.disks.map(({ bytes }) => new RegionMap(bytes));
    if (isUnknown) for (const map of maps) map.markAll();
    const order = ++this.lastOrder;
    const epoch: Epoch = { slot, base, order, isSettled: false, maps };
    const isKept = await this.kept(async () => {
      // A head without its maps, or with those of another base, must never be found.
      await this.erase(slot);
      for (const [disk, map] of maps.entries()) {
        const all = Array.from({ length: map.sectors }, (_, sector) => map.sector(sector));
        await this.options.store.write(slot, this.offsetOf(disk, 0), Buffer.concat(all));
      }
      await this.options.store.sync(slot);
      await this.writeHead(epoch);
    });
    return isKept ? epoch : undefined;
  }

  /** One that is not settled counts for those before it; else the oldest base goes. */
  private async freeSlot(): Promise<number> {
    const free = SLOTS.find((slot) => !this.epochs.some((epoch) => epoch.slot === slot));
    if (free !== undefined) return free;
    const at = this.epochs.findIndex(({ isSettled }, index) => index > 0 && !isSettled);
    if (at < 0) return this.epochs.shift()!.slot;
    const [before, gone] = [this.epochs[at - 1]!, this.epochs[at]!];
    await this.kept(async () => {
      for (const [disk, map] of before.maps.entries()) {
        map.add(gone.maps[disk]!);
        const all = new Set(Array.from({ length: map.sectors }, (_, sector) => sector));
        await this.writeSectors(before, disk, all);
      }
    });
    this.epochs = this.epochs.filter((epoch) => epoch !== gone);
    return gone.slot;
  }

  private async erase(slot: number): Promise<void> {
    await this.options.store.write(slot, 0, new Uint8Array(MAP_SECTOR_BYTES));
    await this.options.store.sync(slot);
  }

  private async writeHead({ slot, base, order, isSettled }: Epoch): Promise<void> {
    const head = Buffer.alloc(HEAD.disks + IDENTITY_BYTES);
    MAGIC.copy(head);
    head.writeBigUInt64LE(BigInt(base), HEAD.base);
    head.writeUInt32LE(this.options.boot, HEAD.boot);
    head.writeUInt32LE(order, HEAD.order);
    head.writeUInt8(Number(isSettled), HEAD.settled);
    this.pair.copy(head, HEAD.pair);
    this.disks.copy(head, HEAD.disks);
    await this.options.store.write(slot, 0, sealed(head));
    await this.options.store.sync(slot);
  }

  /** What cannot be kept is not relied on: false, and nothing is remembered from here on. */
  private async kept(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch {
      this.epochs = [];
      this.forgotten = 'the map could not be written';
      // The guest's writes go on. Where not even this can be written, only a start with the same trouble remembers.
      for (const other of SLOTS) await this.erase(other).catch(() => {});
      return false;
    }
  }

  private async load(): Promise<void> {
    const found: Epoch[] = [];
    for (const slot of SLOTS) {
      const bytes = await this.options.store.read(slot).catch(() => new Uint8Array(0));
      const read = this.read(slot, bytes);
      if (typeof read === 'string') this.forgotten = read;
      else if (read !== undefined) found.push(read);
    }
    // One slot that cannot be relied on may have been the newest.
    if (this.forgotten !== 'nothing was kept') return await this.forget(this.forgotten);
    if (this.options.isSuspect === true && found.length > 0) {
      return await this.forget('a disk was written by somebody else');
    }
    this.epochs = found.sort((a, b) => a.order - b.order);
    this.lastOrder = this.newest?.order ?? 0;
    // From here on of this start.
    for (const epoch of found) {
      if (!(await this.kept(() => this.writeHead(epoch)))) return;
    }
  }

  private read(slot: number, bytes: Uint8Array): Epoch | Forgotten | undefined {
    if (bytes.length === 0) return undefined;
    const headSector = bytes.subarray(0, MAP_SECTOR_BYTES);
    // Erased.
    if (headSector.every((byte) => byte === 0)) return undefined;
    const head = opened(headSector);
    if (head === undefined || !MAGIC.equals(head.subarray(0, MAGIC.length)))
      return 'the map was damaged';
    const view = Buffer.from(head.buffer, head.byteOffset, head.length);
    const part = (at: number) => view.subarray(at, at + IDENTITY_BYTES);
    if (!this.pair.equals(part(HEAD.pair))) return 'another pair';
    if (!this.disks.equals(part(HEAD.disks))) return 'another disk';
    const boot = view.readUInt32LE(HEAD.boot);
    const { boot: now } = this.options;
    if (boot !== now && boot + 1 !== now) return 'another start came between';
    const maps = this.options.disks.map(({ bytes: diskBytes }) => new RegionMap(diskBytes));
    for (const [disk, map] of maps.entries()) {
      for (let sector = 0; sector < map.sectors; sector++) {
        const at = this.offsetOf(disk, sector);
        if (!map.takeSector(sector, bytes.subarray(at, at + MAP_SECTOR_BYTES)))
          return 'the map was damaged';
      }
    }
    return {
      ...{ slot, maps, base: Number(view.readBigUInt64LE(HEAD.base)) },
      order: view.readUInt32LE(HEAD.order),
      isSettled: view.readUInt8(HEAD.settled) === 1,
    };
  }
}

function copyOf(map: RegionMap): RegionMap {
  const copy = new RegionMap(map.diskBytes);
  copy.add(map);
  return copy;
}

function identityOf(text: string): Buffer {
  return createHash('sha256').update(text).digest().subarray(0, IDENTITY_BYTES);
}

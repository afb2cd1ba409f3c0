// A board whose power can go at every step: its disk, of which each region is a number, and the store of its change
// log. What was not put on the medium is there or not, each part for itself.
import { ChangeLog } from '../../firmware/host/change-log.ts';
import type { ChangeStore } from '../../firmware/host/change-store.ts';
import { REGION_BYTES_MIN } from '../../firmware/lockstep/region-map.ts';
import type { SeededRandom } from '../harness/index.ts';

export const REGION_BYTES = REGION_BYTES_MIN;
export const REGIONS = 12;
const SECTOR = 512;

const never = () => new Promise<never>(() => {});

class CutStore implements ChangeStore {
  private readonly step: () => Promise<void>;
  /** By slot: sectors as the medium has them, and as they were written since the last sync. */
  private readonly safe = new Map<number, Map<number, Uint8Array>>();
  private readonly fresh = new Map<number, Map<number, Uint8Array>>();

  constructor(step: () => Promise<void>) {
    this.step = step;
  }

  async read(slot: number): Promise<Uint8Array> {
    const all = new Map([...of(this.safe, slot), ...of(this.fresh, slot)]);
    const bytes = new Uint8Array((Math.max(-1, ...all.keys()) + 1) * SECTOR);
    for (const [sector, data] of all) bytes.set(data, sector * SECTOR);
    return bytes;
  }

  async write(slot: number, at: number, bytes: Uint8Array): Promise<void> {
    await this.step();
    for (let done = 0; done < bytes.length; done += SECTOR) {
      of(this.fresh, slot).set((at + done) / SECTOR, bytes.slice(done, done + SECTOR));
    }
  }

  async sync(slot: number): Promise<void> {
    await this.step();
    for (const [sector, data] of of(this.fresh, slot)) of(this.safe, slot).set(sector, data);
    this.fresh.delete(slot);
  }

  async close(): Promise<void> {}

  cut(random: SeededRandom): void {
    for (const [slot, sectors] of this.fresh) {
      for (const [sector, data] of sectors) {
        if (random.chance(0.5)) of(this.safe, slot).set(sector, data);
      }
    }
    this.fresh.clear();
  }
}

function of<Value>(all: Map<number, Map<number, Value>>, slot: number): Map<number, Value> {
  const known = all.get(slot) ?? new Map<number, Value>();
  all.set(slot, known);
  return known;
}

export class CutBoard {
  isDead = false;
  changes!: ChangeLog;
  /** What a reader sees. */
  disk = new Array<number>(REGIONS).fill(0);
  private safe = [...this.disk];
  private readonly store: CutStore;
  private readonly random: SeededRandom;
  private readonly onStep: () => void;
  private boot = 7;
  private underWay = new Set<Promise<void>>();
  private lastWrite: (Promise<void> | undefined)[] = [];
  private life = 0;

  constructor(random: SeededRandom, onStep: () => void) {
    this.random = random;
    this.onStep = onStep;
    this.store = new CutStore(() => this.step());
  }

  /** Everything that takes time here: nothing comes of it once the power is gone. */
  async step(): Promise<void> {
    const { life } = this;
    this.onStep();
    for (let turns = this.random.int(4); turns > 0; turns--) await null;
    if (this.isDead || life !== this.life) await never();
  }

  async start(): Promise<void> {
    this.isDead = false;
    const disks = [{ bytes: REGIONS * REGION_BYTES, identity: 'one' }];
    this.changes = await ChangeLog.load({ store: this.store, pair: 'p', disks, boot: this.boot });
  }

  cut(): void {
    this.isDead = true;
    this.life++;
    this.boot++;
    this.store.cut(this.random);
    this.safe = this.safe.map((was, region) =>
      this.random.chance(0.5) ? was : this.disk[region]!,
    );
    this.disk = [...this.safe];
    this.underWay = new Set();
    this.lastWrite = [];
  }

  /** Writes to the same place happen in order, as those of a disk. */
  write(region: number, value: number): Promise<void> {
    const { life } = this;
    const earlier = this.lastWrite[region];
    const work = async () => {
      await earlier;
      await this.changes.before(0, { offset: region * REGION_BYTES, bytes: 512 });
      await this.step();
      if (life === this.life) this.disk[region] = value;
    };
    const done = work();
    this.lastWrite[region] = done;
    this.underWay.add(done);
    void done.then(() => this.underWay.delete(done));
    return done;
  }

  async flushed(): Promise<void> {
    await Promise.all(this.underWay);
    await this.step();
    this.safe = [...this.disk];
  }
}

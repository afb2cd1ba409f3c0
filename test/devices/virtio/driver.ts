// The guest's side of virtio, small: finds the structures through configuration space, negotiates,
// lays out split rings in guest memory, adds buffers and collects them. Everything it does is an
// access a real driver would make; it keeps its own books, as a driver does, outside the device.
import type { TestPc } from './pc.ts';
import type { TestRam } from './ram.ts';

type Place = { space: 'port' | 'memory'; base: number; length: number; capability: number };

export const STATUS = { acknowledge: 1, driver: 2, driverOk: 4, featuresOk: 8, needsReset: 64 };
export const VERSION_1 = 32;
export const INDIRECT = 28;
const COMMON = 1;
const NOTIFY = 2;
const ISR = 3;
const DEVICE = 4;
export const PCI_CONFIG = 5;

// biome-ignore lint/suspicious/noExplicitAny: any device will do
type AnyPc = TestPc<any>;

export class VirtioDriver {
  readonly pc: AnyPc;
  /** All places of each structure, in the order of the capability list. */
  readonly places = new Map<number, Place[]>();
  readonly queues: DriverQueue[] = [];
  /** Next free address in low and in high memory. */
  private nextFree = [0x10000, 2 ** 32];
  private allocations = 0;

  constructor(pc: AnyPc) {
    this.pc = pc;
    pc.configWrite(4, 2, pc.configRead(4, 2) | 4); // bus master
    this.scan();
  }

  /** The whole way to DRIVER_OK with queues of the largest or the given size. */
  start(features: number[] = [], queueSize = Number.POSITIVE_INFINITY): this {
    this.negotiate(features);
    const count = this.common(0x12, 2);
    for (let index = 0; index < count; index++) this.setUpQueue(index, queueSize);
    this.setStatus(this.status | STATUS.driverOk);
    return this;
  }

  /** Up to FEATURES_OK; false if the device declined. */
  negotiate(features: number[]): boolean {
    this.setStatus(0);
    this.queues.length = 0;
    this.nextFree = [0x10000, 2 ** 32];
    this.setStatus(STATUS.acknowledge | STATUS.driver);
    const halves = [0, 0];
    for (const bit of [...features, VERSION_1]) halves[bit >> 5]! += 2 ** (bit & 31);
    for (const [select, half] of halves.entries()) {
      this.setCommon(0x08, 4, select);
      this.setCommon(0x0c, 4, half);
    }
    this.setStatus(this.status | STATUS.featuresOk);
    return (this.status & STATUS.featuresOk) !== 0;
  }

  offers(bit: number): boolean {
    this.setCommon(0x00, 4, bit >> 5);
    return ((this.common(0x04, 4) >>> (bit & 31)) & 1) === 1;
  }

  setUpQueue(index: number, sizeAtMost: number): DriverQueue {
    this.setCommon(0x16, 2, index);
    const size = Math.min(this.common(0x18, 2), sizeAtMost);
    this.setCommon(0x18, 2, size);
    const queue = new DriverQueue(this, index, size);
    for (const [at, address] of [
      [0x20, queue.table],
      [0x28, queue.available],
      [0x30, queue.used],
    ] as const) {
      this.setCommon(at, 4, address % 2 ** 32);
      this.setCommon(at + 4, 4, Math.floor(address / 2 ** 32));
    }
    this.setCommon(0x1c, 2, 1);
    this.queues[index] = queue;
    return queue;
  }

  get ram(): TestRam {
    return this.pc.ram;
  }

  get status(): number {
    return this.common(0x14, 1);
  }

  setStatus(value: number): void {
    this.setCommon(0x14, 1, value);
  }

  /** Reads and thereby clears the interrupt status. */
  takeInterrupt(which = 0): number {
    const place = this.place(ISR, which);
    return this.pc.read(place.space, place.base, 1);
  }

  notify(queue: number, which = 0): void {
    const place = this.place(NOTIFY, which);
    const multiplier = this.pc.configRead(place.capability + 16, 4);
    this.setCommon(0x16, 2, queue);
    const offset = this.common(0x1e, 2) * multiplier;
    this.pc.write(place.space, place.base + offset, 2, queue);
  }

  common(offset: number, bytes: number): number {
    const place = this.place(COMMON);
    return this.pc.read(place.space, place.base + offset, bytes);
  }

  setCommon(offset: number, bytes: number, value: number): void {
    const place = this.place(COMMON);
    this.pc.write(place.space, place.base + offset, bytes, value);
  }

  deviceConfig(offset: number, bytes: number): number {
    const place = this.place(DEVICE);
    return this.pc.read(place.space, place.base + offset, bytes);
  }

  place(structure: number, which = 0): Place {
    const found = this.places.get(structure)?.[which];
    if (found === undefined) throw new Error(`no structure ${structure}/${which}`);
    return found;
  }

  /** Memory for rings and buffers, below and above 4 GiB in turn; never given back. */
  allocate(bytes: number, alignment = 16): number {
    const first = this.allocations++ % 2;
    for (const piece of [first, 1 - first]) {
      const address = Math.ceil(this.nextFree[piece]! / alignment) * alignment;
      if (!this.ram.has(address, bytes)) continue;
      this.nextFree[piece] = address + bytes;
      return address;
    }
    throw new Error('driver: guest memory is used up');
  }

  private scan(): void {
    for (let at = this.pc.configRead(0x34, 1); at !== 0; at = this.pc.configRead(at + 1, 1)) {
      if (this.pc.configRead(at, 1) !== 9) continue;
      const structure = this.pc.configRead(at + 3, 1);
      const bar = this.pc.configRead(0x10 + 4 * this.pc.configRead(at + 4, 1), 4);
      const space = bar & 1 ? 'port' : 'memory';
      const base = bar - (bar % (space === 'port' ? 4 : 16)) + this.pc.configRead(at + 8, 4);
      const place: Place = { space, base, length: this.pc.configRead(at + 12, 4), capability: at };
      this.places.set(structure, [...(this.places.get(structure) ?? []), place]);
    }
  }
}

/** A buffer that came back. */
export interface Used {
  token: number;
  bytesWritten: number;
  /** The whole of what the device could write, in one piece. */
  data: Uint8Array;
}

interface Outstanding {
  token: number;
  slots: number[];
  writable: { address: number; bytes: number }[];
}

export interface Buffers {
  /** Bytes for the device, a buffer each. */
  readable?: Uint8Array[];
  /** Sizes of buffers for the device to write. */
  writable?: number[];
  indirect?: boolean;
}

export class DriverQueue {
  readonly driver: VirtioDriver;
  readonly index: number;
  readonly size: number;
  readonly table: number;
  readonly available: number;
  readonly used: number;
  private readonly free: number[];
  private readonly outstanding = new Map<number, Outstanding>();
  private added = 0;
  private collected = 0;
  private nextToken = 1;

  constructor(driver: VirtioDriver, index: number, size: number) {
    this.driver = driver;
    this.index = index;
    this.size = size;
    this.table = driver.allocate(16 * size);
    this.available = driver.allocate(4 + 2 * size, 2);
    this.used = driver.allocate(4 + 8 * size, 4);
    for (const [at, bytes] of [
      [this.available, 4 + 2 * size],
      [this.used, 4 + 8 * size],
    ] as const)
      driver.ram.fill(at, bytes, 0);
    this.free = Array.from({ length: size }, (_, slot) => slot);
  }

  get freeSlots(): number {
    return this.free.length;
  }

  /** Makes a chain available without notifying; its token comes back in collect(). */
  add({ readable = [], writable = [], indirect = false }: Buffers): number {
    const { ram } = this.driver;
    const parts = [
      ...readable.map((data) => {
        const address = this.driver.allocate(data.length);
        ram.write(address, data);
        return { address, bytes: data.length, flags: 0 };
      }),
      ...writable.map((bytes) => {
        const address = this.driver.allocate(bytes);
        ram.fill(address, bytes, 0xee);
        return { address, bytes, flags: 2 };
      }),
    ];
    const slots = this.free.splice(0, indirect ? 1 : parts.length);
    if (slots.length < (indirect ? 1 : parts.length)) throw new Error('driver: ring is full');
    if (indirect) {
      const table = this.driver.allocate(16 * parts.length);
      for (const [i, part] of parts.entries()) {
        const more = i + 1 < parts.length;
        this.describe(table + 16 * i, part, more ? i + 1 : undefined);
      }
      const whole = { address: table, bytes: 16 * parts.length, flags: 4 };
      this.describe(this.table + 16 * slots[0]!, whole, undefined);
    } else {
      for (const [i, part] of parts.entries())
        this.describe(this.table + 16 * slots[i]!, part, slots[i + 1]);
    }
    const token = this.nextToken++;
    const writableParts = parts.filter(({ flags }) => flags === 2);
    this.outstanding.set(slots[0]!, { token, slots, writable: writableParts });
    this.publish(slots[0]!);
    return token;
  }

  /** Puts any chain head into the ring of available ones: what a hostile guest can do as well. */
  publish(head: number): void {
    this.driver.ram.writeU16(this.available + 4 + 2 * (this.added % this.size), head);
    this.added = (this.added + 1) & 0xffff;
    this.driver.ram.writeU16(this.available + 2, this.added);
  }

  kick(): void {
    this.driver.notify(this.index);
  }

  suppressInterrupts(isOn: boolean): void {
    this.driver.ram.writeU16(this.available, isOn ? 1 : 0);
  }

  collect(): Used[] {
    const { ram } = this.driver;
    const result: Used[] = [];
    for (
      ;
      this.collected !== ram.readU16(this.used + 2);
      this.collected++, this.collected &= 0xffff
    ) {
      const at = this.used + 4 + 8 * (this.collected % this.size);
      const head = ram.readU32(at)!;
      const found = this.outstanding.get(head);
      if (found === undefined) throw new Error(`driver: ${head} came back but was not out`);
      this.outstanding.delete(head);
      this.free.push(...found.slots);
      const data = Buffer.concat(
        found.writable.map(({ address, bytes }) => ram.copy(address, bytes)!),
      );
      result.push({
        token: found.token,
        bytesWritten: ram.readU32(at + 4)!,
        data: new Uint8Array(data),
      });
    }
    return result;
  }

  describe(
    at: number,
    { address, bytes, flags }: { address: number; bytes: number; flags: number },
    next: number | undefined,
  ): void {
    const { ram } = this.driver;
    ram.writeU64(at, address);
    ram.writeU32(at + 8, bytes);
    ram.writeU16(at + 12, flags | (next === undefined ? 0 : 1));
    ram.writeU16(at + 14, next ?? 0);
  }
}

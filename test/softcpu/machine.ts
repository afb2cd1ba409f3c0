// A small machine around the engine, made for tests: a few ports and registers whose only purpose is
// to ask the engine for everything it can do (test/guests/metal/metal.h has the guest's side). All
// of its state is plain data, so a machine can be copied at any position and compared with another.
import { GuestMemory, type SoftEngine } from '../../native/index.ts';
import type { Image } from './guest.ts';
import { type MakeEngine, on } from './under-test.ts';

/** Same numbers as twinstep::soft::Exit. */
export const Exit = {
  limit: 0,
  kick: 1,
  portIn: 2,
  portOut: 3,
  mmioRead: 4,
  mmioWrite: 5,
  halt: 6,
  interruptWindow: 7,
  shutdown: 8,
  debug: 9,
} as const;

/** Why `run` came back. `done`: the guest wrote to the exit port. */
export type Stop = 'limit' | 'done' | 'halt' | 'shutdown' | 'kick';

const Port = {
  text: 0xe9,
  exit: 0xf4,
  event: 0x500,
  nmi: 0x504,
  pokeAddress: 0x510,
  pokeValue: 0x514,
  ram: 0x600,
  fifo: 0x700,
  logCount: 0x780,
  logLast: 0x784,
} as const;
const MMIO_BASE = 0xe0000000;
const MMIO_BYTES = 0x10000;
const NMI = 256;

/** The machine without engine and memory. */
export interface Devices {
  text: string;
  exitCode: number | undefined;
  portRam: Uint8Array;
  fifo: number[];
  mmio: Uint8Array;
  mmioCount: number;
  mmioLast: number;
  pokeAddress: number;
  /** What comes at which position; vector 256 is the NMI. */
  events: { at: bigint; vector: number }[];
  /** Vectors waiting for the guest to take them, oldest first. */
  raised: number[];
}

/** All there is of a machine at one position. */
export interface Snapshot {
  state: Uint8Array;
  memory: Uint8Array;
  devices: Devices;
}

export const RAM_BYTES = 4 << 20;

export class TestMachine {
  readonly memory: GuestMemory;
  readonly bytes: Uint8Array;
  readonly engine: SoftEngine;
  readonly make: MakeEngine;
  devices: Devices = {
    text: '',
    exitCode: undefined,
    portRam: new Uint8Array(256),
    fifo: [],
    mmio: new Uint8Array(MMIO_BYTES),
    mmioCount: 0,
    mmioLast: 0,
    pokeAddress: 0,
    events: [],
    raised: [],
  };

  constructor(image?: Image, ramBytes = RAM_BYTES, make: MakeEngine = on.make) {
    this.make = make;
    this.memory = new GuestMemory({ bytes: ramBytes });
    this.bytes = new Uint8Array(this.memory.buffer);
    this.engine = make(this.memory);
    if (image === undefined) return;
    for (const { address, bytes } of image.segments) {
      this.bytes.set(bytes, address);
      this.engine.memoryWritten(address, bytes.length);
    }
    this.engine.setup(image.cpu);
    this.engine.seedEntropy(new Uint8Array(32).fill(7));
  }

  /** A machine of its own that goes on where the other one stands. */
  static from(snapshot: Snapshot, make: MakeEngine = on.make): TestMachine {
    const machine = new TestMachine(undefined, snapshot.memory.length, make);
    machine.bytes.set(snapshot.memory);
    machine.engine.memoryWritten(0, snapshot.memory.length);
    machine.engine.setState(snapshot.state);
    machine.devices = structuredClone(snapshot.devices);
    return machine;
  }

  /** Where this machine stands, good until it runs on: the memory is not copied. */
  get view(): Snapshot {
    return { state: this.engine.getState(), memory: this.bytes, devices: this.devices };
  }

  get icount(): bigint {
    return this.engine.icount();
  }

  close(): void {
    this.engine.close();
    this.memory.close();
  }

  /** Runs to a position, serving what the guest asks for on the way. */
  run(limit: bigint): Stop {
    for (;;) {
      if (this.icount >= limit) return 'limit';
      const next = this.fireEvents();
      const stop = this.serve(this.engine.run(next === undefined || next > limit ? limit : next));
      if (stop !== undefined) return stop;
    }
  }

  /** To the end of the guest's life; `limit` is there for guests that never end. */
  runToEnd(limit = 100_000_000n): Stop {
    const stop = this.run(limit);
    if (stop === 'limit') throw new Error(`the guest did not end; it said:\n${this.devices.text}`);
    return stop;
  }

  /** Raises what is due at this position; says when the next comes. */
  private fireEvents(): bigint | undefined {
    const { devices, engine } = this;
    if (devices.events.length > 0) {
      const here = this.icount;
      const due = devices.events.filter((event) => event.at <= here);
      devices.events = devices.events.filter((event) => event.at > here);
      for (const { vector } of due) {
        if (vector === NMI) engine.nmi();
        else devices.raised.push(vector);
      }
    }
    engine.setInterruptLine(devices.raised.length > 0);
    return devices.events.reduce<bigint | undefined>(
      (first, { at }) => (first === undefined || at < first ? at : first),
      undefined,
    );
  }

  private serve(reason: number): Stop | undefined {
    const { engine, devices } = this;
    const [bytes = 0, address = 0, low = 0, high = 0] = engine.exit;
    switch (reason) {
      case Exit.limit:
        return undefined;
      case Exit.kick:
        return 'kick';
      case Exit.portIn:
        engine.completeRead(this.portIn(address, bytes), 0);
        return undefined;
      case Exit.portOut:
        this.portOut(address, bytes, low);
        return devices.exitCode === undefined ? undefined : 'done';
      case Exit.mmioRead:
        this.mmioRead(address, bytes);
        return undefined;
      case Exit.mmioWrite:
        this.mmioWrite(address, bytes, low, high);
        return undefined;
      case Exit.interruptWindow:
        engine.interrupt(devices.raised.shift() ?? 0);
        return undefined;
      case Exit.halt:
        return this.idle();
      case Exit.shutdown:
        return 'shutdown';
      default:
        throw new Error(`exit ${reason} at ${this.icount}`);
    }
  }

  /** Nothing happens until the next event, so it happens now. */
  private idle(): Stop | undefined {
    const [first, ...rest] = this.devices.events.sort((a, b) => Number(a.at - b.at));
    if (first === undefined) return 'halt';
    this.devices.events = [{ at: this.icount, vector: first.vector }, ...rest];
    return undefined;
  }

  private portOut(port: number, bytes: number, value: number): void {
    const { devices } = this;
    const after = (delay: number) => this.icount + BigInt(delay);
    if (port === Port.text) devices.text += String.fromCharCode(value);
    else if (port === Port.exit) devices.exitCode = value;
    else if (port === Port.event)
      devices.events.push({ at: after(value >>> 8), vector: value & 255 });
    else if (port === Port.nmi) devices.events.push({ at: after(value), vector: NMI });
    else if (port === Port.pokeAddress) devices.pokeAddress = value;
    else if (port === Port.pokeValue) this.poke(value);
    else if (port === Port.fifo)
      for (let n = 0; n < bytes; n++) devices.fifo.push((value >>> (8 * n)) & 255);
    else if (port >= Port.ram && port < Port.ram + 256)
      for (let n = 0; n < bytes; n++) devices.portRam[port - Port.ram + n] = value >>> (8 * n);
  }

  private portIn(port: number, bytes: number): number {
    const { devices } = this;
    const assemble = (byte: (n: number) => number) => {
      let value = 0;
      for (let n = 0; n < bytes; n++) value += byte(n) * 2 ** (8 * n);
      return value;
    };
    if (port === Port.fifo) return assemble(() => devices.fifo.shift() ?? 0);
    if (port >= Port.ram && port < Port.ram + 256)
      return assemble((n) => devices.portRam[port - Port.ram + n] ?? 0);
    if (port === Port.logCount) {
      const count = devices.mmioCount;
      devices.mmioCount = 0;
      return count;
    }
    return port === Port.logLast ? devices.mmioLast : assemble(() => 255);
  }

  /** Writes into memory behind the guest's back, as a device does. */
  private poke(value: number): void {
    const at = this.devices.pokeAddress;
    new DataView(this.memory.buffer).setUint32(at, value, true);
    this.engine.memoryWritten(at, 4);
  }

  private log(bytes: number, write: boolean, address: number): void {
    this.devices.mmioCount++;
    this.devices.mmioLast = bytes + (write ? 256 : 0) + (address - MMIO_BASE) * 65536;
  }

  private mmioRead(address: number, bytes: number): void {
    const at = address - MMIO_BASE;
    if (at < 0 || at + bytes > MMIO_BYTES) {
      this.engine.completeRead(0xffffffff, 0xffffffff);
      return;
    }
    this.log(bytes, false, address);
    const word = new Uint8Array(8);
    word.set(this.devices.mmio.subarray(at, at + bytes));
    const view = new DataView(word.buffer);
    this.engine.completeRead(view.getUint32(0, true), view.getUint32(4, true));
  }

  private mmioWrite(address: number, bytes: number, low: number, high: number): void {
    const at = address - MMIO_BASE;
    if (at < 0 || at + bytes > MMIO_BYTES) return;
    this.log(bytes, true, address);
    const word = new DataView(new ArrayBuffer(8));
    word.setUint32(0, low, true);
    word.setUint32(4, high, true);
    this.devices.mmio.set(new Uint8Array(word.buffer, 0, bytes), at);
  }
}

/** Everything two machines could differ in; empty when they are equal. */
export function differences(a: Snapshot, b: Snapshot): string[] {
  const found: string[] = [];
  const state = firstDifference(a.state, b.state);
  if (state >= 0) found.push(`engine state differs at byte ${state}`);
  const memory = firstDifference(a.memory, b.memory);
  if (memory >= 0) found.push(`memory differs at 0x${memory.toString(16)}`);
  for (const key of Object.keys(a.devices) as (keyof Devices)[]) {
    const [left, right] = [show(a.devices[key]), show(b.devices[key])];
    if (left !== right) found.push(`${key}: ${left} and ${right}`);
  }
  return found;
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  if (Buffer.compare(a, b) === 0) return -1;
  const index = a.findIndex((byte, n) => byte !== b[n]);
  return index < 0 ? a.length : index;
}

function show(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  return JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? `${item}n` : item)) ?? '';
}

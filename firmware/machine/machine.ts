// The machine: engine, clock, bus and devices wired into a PC, and the loop that runs it.
//
// Caller's duties:
// 1. Load a guest (boot/), then `start(setup)`.
// 2. `runSlice(limit)` until something is to be injected; it ends at the limit, at a kick, when the
//    guest idles, or when the machine stopped (reset, power off, triple fault, debug exit).
// 3. `inject(input)` between slices, at the position where the last one ended.
// 4. An idle guest waits: inject something, or a clock step to `nextDeadlineNs()`.
//
// Determinism: outputs, interrupts and state depend on the initial state and on the inputs with their
// positions, never on how the time between was cut into slices. That is why every slice and every
// input ends with settle(): timers that are due have fired and an interrupt that can be delivered is
// delivered, so a position has one meaning.

import type {
  Device,
  Input,
  OutputSink,
  SerialEndpoint,
  SerialPortName,
  StateObject,
  VirtualNs,
} from '../devices/contracts.ts';
import type { PciHost } from '../devices/pci/host.ts';
import type { Pic } from '../devices/pic/pic.ts';
import type { Rtc } from '../devices/rtc/rtc.ts';
import type { Uart } from '../devices/uart/uart.ts';
import { Bus } from './bus.ts';
import { Clock } from './clock.ts';
import type { CpuSetup, Engine, Position } from './engine.ts';
import { ExitReason } from './engine.ts';
import { Entropy } from './entropy.ts';
import type {
  Endpoints,
  MachineOptions,
  MachineState,
  PlugContext,
  SliceEnd,
  SlicePrecision,
  StopReason,
} from './machine-types.ts';
import { HIGH_RAM_BASE, LOW_RAM_MAX, MIB, PAGE_BYTES } from './memory-map.ts';
import { buildPc } from './pc.ts';
import { Ram } from './ram.ts';
import { Schedule } from './schedule.ts';

export const RAM_BYTES_MIN = 4 * MIB;
const STATE_VERSION = 2;
// A guest can build an interrupt handler that interrupts itself without executing anything. After so
// many deliveries at one position it has to execute an instruction first.
const DELIVERIES_PER_POSITION_MAX = 8;
const NO_KICK = -1n;

export class Machine {
  readonly ram: Ram;
  readonly bus: Bus;
  readonly pic: Pic;
  readonly pci: PciHost;

  private readonly engine: Engine;
  private readonly clock: Clock;
  private readonly entropy: Entropy;
  private readonly schedule: Schedule;
  private readonly serial: Record<'com1' | 'com2', Uart>;
  private readonly rtc: Rtc;
  private readonly endpoints: Endpoints;
  private readonly output: OutputSink;
  private stopped: StopReason | undefined;
  private deliveredAt: Position = -1n;
  private deliveries = 0;
  // Where a slice that was kicked ends.
  private kickStop: Position = NO_KICK;
  private isRunning = false;

  constructor(options: MachineOptions) {
    const { engine, memory } = options;
    if (memory.bytes < RAM_BYTES_MIN || memory.bytes % PAGE_BYTES !== 0)
      throw new Error(`${memory.bytes} bytes of RAM: at least 4 MiB, in whole pages`);
    this.engine = engine;
    this.output = options.output;
    this.clock = new Clock(options.multiplier);
    this.entropy = new Entropy(options.entropySeed);
    this.ram = new Ram({
      memory,
      onWrite: (address, bytes) => engine.memoryWritten(address, bytes),
    });
    this.bus = new Bus({ beforeAccess: (device) => this.beforeAccess(device) });
    this.schedule = new Schedule(this.bus.devices);

    const pc = buildPc({
      ramBytes: memory.bytes,
      epochSeconds: options.epochSeconds,
      intr: { set: (level) => engine.setInterruptLine(level) },
      output: (output) => this.output(output),
      onReset: () => this.power('reset'),
      onDebugExit: (code) => this.debugExit(code),
    });
    this.pic = pc.pic;
    this.pci = pc.pci;
    this.serial = { com1: pc.com1, com2: pc.com2 };
    this.rtc = pc.rtc;
    for (const device of pc.devices) this.bus.add(device);
    this.endpoints = options.plug?.(this.plugContext()) ?? NO_ENDPOINTS;
  }

  // ---- running ------------------------------------------------------------------------------

  // Power on with a loaded guest.
  start(setup: CpuSetup): void {
    this.engine.setup(setup);
    this.engine.seedEntropy(this.drawSeed());
    this.engine.setTsc(this.nowNs(), this.clock.multiplier);
    this.engine.setInterruptLine(this.pic.isRaised);
  }

  // A triple fault retires nothing; it ends one further, so that whoever runs to its position meets it
  // (a limit at the last instruction stops before the fault).
  get position(): Position {
    const position = this.engine.position();
    return this.stopped?.kind === 'triple-fault' ? position + 1n : position;
  }

  nowNs(): VirtualNs {
    return this.clock.nsAt(this.engine.position());
  }

  get multiplier(): bigint {
    return this.clock.multiplier;
  }

  // When the next timer of a device is due; the moment an idle guest wakes by itself.
  nextDeadlineNs(): VirtualNs | undefined {
    return this.schedule.nextNs();
  }

  get isHalted(): boolean {
    return this.engine.isHalted();
  }

  get stopReason(): StopReason | undefined {
    return this.stopped;
  }

  // Runs to the limit or to something the caller must attend to. `near`: nobody else has named this limit,
  // and a position a little before it does as well. What the machine itself has to do at a position
  // (timers, kicks) it does exactly there.
  runSlice(limit: Position, precision: SlicePrecision = 'exact'): SliceEnd {
    if (this.isRunning) throw new Error('runSlice called from inside the machine');
    this.isRunning = true;
    try {
      for (;;) {
        const end = this.runToExit(limit, precision);
        if (end !== undefined) return end;
      }
    } finally {
      this.isRunning = false;
    }
  }

  private runToExit(limit: Position, precision: SlicePrecision): SliceEnd | undefined {
    if (this.stopped !== undefined) return this.end('stopped');
    const stop = this.stopPosition(limit);
    const isNear = precision === 'near' && stop === limit && this.engine.runNear !== undefined;
    const reason = isNear ? this.engine.runNear!(stop) : this.engine.run(stop);
    if (isNear && reason === ExitReason.limit) return this.serve(reason, this.engine.position());
    if (reason === ExitReason.kick) {
      // A kick may be seen where no limit can stop: after a fault was delivered, or between a read
      // and its retirement. One instruction further is a position everybody finds again.
      if (this.kickStop !== NO_KICK && this.engine.isBetween === true) return this.end('open');
      if (this.kickStop === NO_KICK) this.kickStop = this.engine.position() + 1n;
      return undefined;
    }
    return this.serve(reason, limit);
  }

  private serve(reason: ExitReason, limit: Position): SliceEnd | undefined {
    const engine = this.engine;
    switch (reason) {
      case ExitReason.portIn:
        engine.completeRead(this.bus.readPort(engine.exitAddress, engine.exitBytes), 0);
        return undefined;
      case ExitReason.portOut:
        this.bus.writePort(engine.exitAddress, engine.exitBytes, engine.exitValueLow);
        return undefined;
      case ExitReason.mmioRead:
        this.readMemory(engine.exitAddress, engine.exitBytes);
        return undefined;
      case ExitReason.mmioWrite:
        this.writeMemory(engine.exitAddress, engine.exitBytes);
        return undefined;
      case ExitReason.interruptWindow:
        this.settle();
        return undefined;
      case ExitReason.limit:
        this.settle();
        return this.endAtLimit(limit);
      case ExitReason.halt:
        this.settle();
        return engine.isHalted() ? this.end('idle') : undefined;
      case ExitReason.shutdown:
        this.power('triple-fault');
        return this.end('stopped');
      default:
        throw new Error(`the engine ended with reason ${reason}, which nobody asked for`);
    }
  }

  private endAtLimit(limit: Position): SliceEnd | undefined {
    const position = this.engine.position();
    if (position >= limit) return this.end('limit');
    const wasKicked = this.kickStop !== NO_KICK && position >= this.kickStop;
    return wasKicked ? this.end('kick') : undefined;
  }

  private end(end: SliceEnd): SliceEnd {
    this.kickStop = NO_KICK;
    return end;
  }

  // ---- the one door -------------------------------------------------------------------------

  inject(input: Input): void {
    if (this.isRunning) throw new Error('inject called from inside the machine');
    this.schedule.advanceAll(this.nowNs());
    this.apply(input);
    this.schedule.touchAll();
    this.settle();
  }

  // After a slice that ended 'open', the guest having been kicked twice on its way to the next position:
  // where it stands becomes one. Answers the state a replica is given; then settleSlice(), as there.
  closeSlice(): Uint8Array {
    this.engine.closeSlice?.();
    return this.engine.getState();
  }

  settleSlice(): void {
    this.engine.setInterruptLine(this.pic.isRaised);
    this.schedule.touchAll();
    this.settle();
  }

  // The replica's side: pages by number in RAM, then the state. Throws what the engine says of a state.
  adoptSlice(state: Uint8Array, pages: ReadonlyMap<number, Uint8Array>): void {
    for (const [page, bytes] of pages) {
      const offset = page * PAGE_BYTES;
      const low = Math.min(this.ram.bytes, LOW_RAM_MAX);
      this.ram.write(offset < low ? offset : HIGH_RAM_BASE + offset - low, bytes);
    }
    this.engine.setState(state);
    this.settleSlice();
  }

  private apply(input: Input): void {
    switch (input.kind) {
      case 'clock-step':
        this.clock.step(this.engine.position(), input.ns, input.multiplier);
        this.engine.setTsc(input.ns, input.multiplier);
        this.schedule.clockChanged();
        return;
      case 'net-rx':
        endpoint(this.endpoints.nics, input.nic, 'network card').receive(input.frame);
        return;
      case 'serial-rx':
        this.serialEndpoint(input.port).receive(input.bytes);
        return;
      case 'serial-line':
        this.uartOf(input.port).setModemInputs(input);
        return;
      case 'serial-break':
        this.uartOf(input.port).receiveBreak();
        return;
      case 'disk-completion':
        endpoint(this.endpoints.disks, input.disk, 'disk').complete(
          input.id,
          input.status,
          input.data,
        );
        return;
      case 'control':
        this.control(input.action);
        return;
      case 'wall-clock':
        this.rtc.tellWallClock(input.wallNs);
        return;
      default:
        assertNever(input);
    }
  }

  private control(action: 'reset' | 'power-button' | 'nmi'): void {
    if (action === 'nmi') this.engine.nmi();
    else if (action === 'reset') this.power('reset');
    // There is no ACPI to ask the guest: the button acts like the switch of an old PC.
    else this.power('off');
  }

  // What a serial line holds for the guest; 0 for a port this machine lacks.
  serialBacklog(port: SerialPortName): number {
    const isMissing = port === 'console' && this.endpoints.console === undefined;
    return isMissing ? 0 : this.serialEndpoint(port).waitingBytes;
  }

  // ---- state --------------------------------------------------------------------------------

  // Everything but the contents of RAM. Equal machines at equal positions have equal states.
  state(): MachineState {
    this.schedule.advanceAll(this.nowNs());
    const devices: { [name: string]: StateObject } = {};
    for (const device of this.bus.devices) devices[device.name] = device.state();
    return {
      version: STATE_VERSION,
      engineKind: this.engine.kind,
      engine: this.engine.getState(),
      ramBytes: this.ram.bytes,
      clock: this.clock.state(),
      entropy: this.entropy.state(),
      deliveries: this.deliveriesHere(),
      stopReason: this.stopped ?? null,
      bus: { openBusReads: this.bus.openBusReads, openBusWrites: this.bus.openBusWrites },
      ramRefused: this.ram.refused,
      devices,
    };
  }

  // RAM has been filled by the caller before.
  restore(state: MachineState): void {
    this.mustMatch('state version', state.version, STATE_VERSION);
    if (!this.engine.statesFrom.includes(state.engineKind))
      this.mustMatch('engine', state.engineKind, this.engine.kind);
    this.mustMatch('RAM bytes', state.ramBytes, this.ram.bytes);
    this.engine.setState(state.engine);
    this.forgetOldMemory();
    this.clock.restore(state.clock);
    this.entropy.restore(state.entropy);
    this.deliveredAt = this.engine.position();
    this.deliveries = state.deliveries;
    this.stopped = state.stopReason ?? undefined;
    // The interrupt controller is last on the bus: its saved pins overrule what the others drive.
    for (const device of this.bus.devices) {
      const saved = state.devices[device.name];
      if (saved === undefined) throw new Error(`state without device ${device.name}`);
      device.restore(saved as StateObject);
    }
    this.bus.openBusReads = state.bus.openBusReads;
    this.bus.openBusWrites = state.bus.openBusWrites;
    this.ram.refused = state.ramRefused;
    this.engine.setInterruptLine(this.pic.isRaised);
    this.schedule.clockChanged();
    this.schedule.touchAll();
  }

  private mustMatch(what: string, found: unknown, wanted: unknown): void {
    if (found !== wanted)
      throw new Error(`machine state: ${what} ${found}, this one has ${wanted}`);
  }

  private forgetOldMemory(): void {
    const low = Math.min(this.ram.bytes, LOW_RAM_MAX);
    this.engine.memoryWritten(0, low);
    if (this.ram.bytes > low) this.engine.memoryWritten(HIGH_RAM_BASE, this.ram.bytes - low);
  }

  // ---- inside -------------------------------------------------------------------------------

  // Makes this position final: timers due have fired, a deliverable interrupt is delivered.
  private settle(): void {
    const engine = this.engine;
    const position = engine.position();
    this.schedule.advanceDue(this.clock.nsAt(position));
    if (position !== this.deliveredAt) this.deliveries = 0;
    this.deliveredAt = position;
    while (this.stopped === undefined && this.pic.isRaised && engine.canInterrupt()) {
      if (this.deliveries >= DELIVERIES_PER_POSITION_MAX) return;
      this.deliveries++;
      engine.interrupt(this.pic.acknowledge());
    }
  }

  // Zero unless something was delivered at this very position.
  private deliveriesHere(): number {
    return this.deliveredAt === this.engine.position() ? this.deliveries : 0;
  }

  // How far the engine may go: the caller's limit or the next timer, whichever is first.
  private stopPosition(limit: Position): Position {
    const deadline = this.schedule.nextPosition(this.clock);
    let stop = deadline !== undefined && deadline < limit ? deadline : limit;
    if (this.deliveries >= DELIVERIES_PER_POSITION_MAX) {
      const isHere = this.engine.position() === this.deliveredAt;
      this.engine.setInterruptLine(!isHere && this.pic.isRaised);
      if (isHere && this.deliveredAt + 1n < stop) stop = this.deliveredAt + 1n;
    }
    if (this.kickStop !== NO_KICK && this.kickStop < stop) stop = this.kickStop;
    return stop;
  }

  private beforeAccess(device: Device): void {
    this.schedule.access(device, this.clock.nsAt(this.engine.position()));
  }

  // The bus takes at most four bytes; eight are two accesses, low half first.
  private readMemory(address: number, bytes: number): void {
    const isWide = bytes === 8;
    const low = this.bus.readMemory(address, isWide ? 4 : bytes);
    const high = isWide ? this.bus.readMemory(address + 4, 4) : 0;
    this.engine.completeRead(low, high);
  }

  private writeMemory(address: number, bytes: number): void {
    const low = this.engine.exitValueLow;
    const high = this.engine.exitValueHigh;
    if (bytes !== 8) {
      this.bus.writeMemory(address, bytes, low);
      return;
    }
    this.bus.writeMemory(address, 4, low);
    this.bus.writeMemory(address + 4, 4, high);
  }

  private power(event: 'reset' | 'off' | 'triple-fault'): void {
    if (this.stopped !== undefined) return;
    this.stopped = { kind: event };
    this.output({ kind: 'power', event });
  }

  private debugExit(code: number): void {
    if (this.stopped !== undefined) return;
    this.stopped = { kind: 'debug-exit', code };
    this.output({ kind: 'debug-exit', code });
  }

  private drawSeed(): Uint8Array {
    const seed = new Uint8Array(32);
    this.entropy.fill(seed);
    return seed;
  }

  private uartOf(port: SerialPortName): Uart {
    if (port === 'console') throw new Error('the virtio console has no modem lines');
    return this.serial[port];
  }

  private serialEndpoint(port: SerialPortName): SerialEndpoint {
    if (port !== 'console') return this.serial[port];
    if (this.endpoints.console === undefined) throw new Error('no virtio console');
    return this.endpoints.console;
  }

  private plugContext(): PlugContext {
    return {
      pci: this.pci,
      ram: this.ram,
      clock: { nowNs: () => this.nowNs() },
      drawSeed: () => this.drawSeed(),
      output: (output) => this.output(output),
    };
  }
}

const NO_ENDPOINTS: Endpoints = { nics: [], disks: [], console: undefined };

function endpoint<T>(list: readonly T[], index: number, what: string): T {
  const found = list[index];
  if (found === undefined) throw new Error(`no ${what} ${index}`);
  return found;
}

function assertNever(value: never): never {
  throw new Error(`unknown input ${JSON.stringify(value)}`);
}

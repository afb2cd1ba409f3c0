// The place of the one guest of this board: its disks and its world, which stay, and the machine in it,
// which comes and goes. A machine that was told to leave is heard no more: what its thread still sends
// is dropped here, and its disk requests are answered to nobody.
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { GuestMemory, type GuestMemory as Memory } from '../../../native/index.ts';
import type { DiskRequest, Input, SerialPortName } from '../../devices/contracts.ts';
import { DiskReplica } from '../../host/disk-replica.ts';
import { HostError, systemWords } from '../../host/errors.ts';
import type { GuestConfig, OutputItem, VcpuOptions } from '../../host/vcpu/vcpu.ts';
import { Vcpu, type VcpuEnd } from '../../host/vcpu/vcpu.ts';
import { type Chosen, chooseEngine } from '../../host/vtx-engine.ts';
import { diskSerial, World, type WorldEvents, type WorldSpec } from '../../host/world.ts';
import type { Divergence } from '../../lockstep/replayer.ts';
import type { GuestDevices } from '../../machine/plug.ts';
import type { HandsPlan } from './plan.ts';

/** What the guest says and hears, apart from its disks. */
export interface Outside {
  /** Nothing comes in before. */
  start(): void;
  deliver(outputs: readonly OutputItem[]): void;
  serialTaken(port: SerialPortName, bytes: number): void;
  close(): Promise<void>;
}

export type OpenOutside = (spec: WorldSpec, events: WorldEvents) => Promise<Outside>;

export interface SeatEvents {
  onLog(bytes: Uint8Array): void;
  onOutputs(outputs: readonly OutputItem[], leads: boolean): void;
  onProgress(): void;
  onDivergence(divergence: Divergence): void;
  onReboot(life: number): void;
  /** By itself, or because its thread broke. */
  onEnded(end: VcpuEnd | Error): void;
  onDiskTrouble(words: string): void;
  onNotice(line: string): void;
}

export interface SeatFiles {
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array | undefined;
}

/** Until the first measurement, a few milliseconds after the start: 10 ns an instruction. */
const FIRST_MULTIPLIER = 10n << 32n;
const DIGEST_INTERVAL_NS = 1_000_000_000n;

interface Occupant {
  vcpu: Vcpu | undefined;
  leads: boolean;
  /** Gets what comes from outside; also while it goes live, when the thread keeps it for then. */
  hears: boolean;
  isGone: boolean;
  /** Completions that came before the thread was there. */
  early: Input[];
  /** Its memory as mapped here; unmapping takes long, so it stays until the machine leaves. */
  memory: Memory | undefined;
}

export class GuestSeat {
  readonly disks: DiskReplica[] = [];
  /** Inputs that came while nobody led here. */
  inputsDropped = 0;
  /** What runs every machine in this place. */
  readonly engine: Chosen;
  private readonly plan: HandsPlan;
  private readonly events: SeatEvents;
  private readonly nowMs: () => number;
  private readonly openOutside: OpenOutside;
  private files: SeatFiles | undefined;
  private outside: Outside | undefined;
  private occupant: Occupant | undefined;

  constructor(
    plan: HandsPlan,
    events: SeatEvents,
    nowMs: () => number,
    openOutside: OpenOutside = (spec, worldEvents) => World.open(spec, worldEvents),
  ) {
    this.plan = plan;
    this.engine = chooseEngine(plan.engine);
    this.events = events;
    this.nowMs = nowMs;
    this.openOutside = openOutside;
  }

  /** Kernel, disks and world, all or nothing; throws one clear line, and may then be called again. */
  async open(): Promise<void> {
    const { plan, events, nowMs } = this;
    try {
      this.files = await readFiles(plan);
      for (const { path, isReadOnly } of plan.disks) {
        const onTrouble = (words: string) => events.onDiskTrouble(words);
        this.disks.push(await DiskReplica.open({ path, isReadOnly, nowMs, onTrouble }));
      }
      this.outside = await this.openOutside(worldSpec(plan), {
        onInputs: (inputs) => this.inputs(inputs),
        onLeave: () => {},
        onNotice: events.onNotice,
      });
      this.outside.start();
    } catch (error) {
      await this.closeAll();
      throw error;
    }
  }

  get isOpen(): boolean {
    return this.outside !== undefined;
  }

  get vcpu(): Vcpu | undefined {
    return this.occupant?.vcpu;
  }

  get leads(): boolean {
    return this.occupant?.leads ?? false;
  }

  /** From the next output on, and for every input. */
  setLeads(leads: boolean): void {
    if (this.occupant === undefined) return;
    this.occupant.leads = leads;
    this.occupant.hears = leads;
  }

  /** It will lead in a moment: what comes from now on waits for it. */
  listen(): void {
    if (this.occupant !== undefined) this.occupant.hears = true;
  }

  /** A guest from power-on. Throws VcpuStartError. */
  async boot(): Promise<void> {
    const occupant = this.seat(true);
    const config = this.config(Math.floor(Date.now() / 1000), new Uint8Array(randomBytes(32)));
    try {
      this.settle(occupant, await Vcpu.start(this.vcpuOptions(config, occupant)));
    } catch (error) {
      this.leave(occupant);
      throw error;
    }
  }

  /** A guest as the other board's is. Throws VcpuStartError. */
  async adopt(memory: Memory, checkpoint: Uint8Array): Promise<void> {
    const occupant = this.seat(false);
    occupant.memory = memory;
    // All of it is in the checkpoint.
    const config = this.config(0, new Uint8Array(32));
    const adoption = { memoryToken: memory.token, checkpoint };
    try {
      this.settle(occupant, await Vcpu.adopt(this.vcpuOptions(config, occupant), adoption));
    } catch (error) {
      this.leave(occupant);
      throw error;
    }
  }

  /** The memory of the guest that is here. */
  memory(): Uint8Array {
    const { occupant } = this;
    if (occupant?.vcpu === undefined) throw new Error('there is no guest');
    occupant.memory ??= new GuestMemory({ token: occupant.vcpu.memoryToken });
    return new Uint8Array(occupant.memory.buffer);
  }

  /** Its thread ends, nothing of it is heard any more, and its disk requests are done. */
  async empty(): Promise<void> {
    const { occupant } = this;
    if (occupant === undefined) return;
    // Before the thread's own mapping goes: the last one to go has all pages to free.
    this.leave(occupant);
    occupant.vcpu?.stop();
    await occupant.vcpu?.ended.catch(() => {});
    await Promise.all(this.disks.map((disk) => disk.idle()));
  }

  deliver(outputs: readonly OutputItem[]): void {
    this.outside?.deliver(outputs);
  }

  /** Since when the oldest disk request has been under way. */
  get diskBusySinceMs(): number | null {
    const since = this.disks.flatMap(({ busySinceMs }) => busySinceMs ?? []);
    return since.length === 0 ? null : Math.min(...since);
  }

  async close(): Promise<void> {
    await this.empty();
    await this.closeAll();
  }

  private async closeAll(): Promise<void> {
    await this.outside?.close();
    this.outside = undefined;
    for (const disk of this.disks.splice(0)) await disk.close();
  }

  /** What the guest boots from; throws before it is read. */
  get bootFiles(): SeatFiles {
    if (this.files === undefined) throw new Error('what the guest lives on is not open');
    return this.files;
  }

  // ---- inside -------------------------------------------------------------------------------

  private seat(leads: boolean): Occupant {
    if (this.occupant !== undefined) throw new Error('the seat of the guest is taken');
    this.occupant = {
      vcpu: undefined,
      leads,
      hears: leads,
      isGone: false,
      early: [],
      memory: undefined,
    };
    return this.occupant;
  }

  private leave(occupant: Occupant): void {
    occupant.isGone = true;
    occupant.memory?.close();
    occupant.memory = undefined;
    if (this.occupant === occupant) this.occupant = undefined;
  }

  private settle(occupant: Occupant, vcpu: Vcpu): void {
    if (occupant.isGone) {
      vcpu.stop();
      return;
    }
    occupant.vcpu = vcpu;
    vcpu.send(occupant.early.splice(0));
    const ended = (end: VcpuEnd | Error) => {
      if (!occupant.isGone) this.events.onEnded(end);
    };
    vcpu.ended.then(ended, ended);
  }

  private config(epochSeconds: number, entropySeed: Uint8Array): GuestConfig {
    const { memoryBytes, append } = this.plan;
    return {
      ...{ memoryBytes, epochSeconds, entropySeed, engine: this.engine.kind },
      ...this.bootFiles,
      commandLine: append,
      devices: this.devices(),
      multiplier: FIRST_MULTIPLIER,
    };
  }

  devices(): GuestDevices {
    return {
      nics: this.plan.nics.map(({ mac }) => ({ mac })),
      disks: this.disks.map(({ sectors, isReadOnly }, index) => ({
        sectors,
        isReadOnly,
        serial: diskSerial(index),
      })),
      hasConsole: false,
    };
  }

  private vcpuOptions(config: GuestConfig, occupant: Occupant): VcpuOptions {
    const { events } = this;
    const present =
      <Args extends unknown[]>(then: (...args: Args) => void) =>
      (...args: Args) => {
        if (!occupant.isGone) then(...args);
      };
    return {
      config,
      log: { kind: 'stream', digestIntervalNs: DIGEST_INTERVAL_NS },
      restartsOn: restartsOn(this.plan),
      onLog: present((bytes) => events.onLog(bytes)),
      onOutputs: present((outputs) => events.onOutputs(outputs, occupant.leads)),
      onDiskRequest: present((request) => this.request(request, occupant)),
      onReboot: present((life) => events.onReboot(life)),
      onSerialTaken: present((port, bytes) => this.outside?.serialTaken(port, bytes)),
      onDivergence: present((divergence) => events.onDivergence(divergence)),
      onProgress: present(() => events.onProgress()),
    };
  }

  private request(request: DiskRequest, occupant: Occupant): void {
    const { disk, id } = request;
    this.disks[disk]!.request(request, (status, data) => {
      if (occupant.isGone) return;
      const completion = { kind: 'disk-completion', disk, id, status, data } as const;
      if (occupant.vcpu === undefined) occupant.early.push(completion);
      else occupant.vcpu.send([completion]);
    });
  }

  /** What comes for a guest that does not lead here is not ours; who sent it says it again. */
  private inputs(inputs: readonly Input[]): void {
    const { occupant } = this;
    if (occupant?.hears) {
      if (occupant.vcpu === undefined) occupant.early.push(...inputs);
      else occupant.vcpu.send(inputs);
      return;
    }
    this.inputsDropped += inputs.length;
    for (const input of inputs) {
      if (input.kind === 'serial-rx') this.outside?.serialTaken(input.port, input.bytes.length);
    }
  }
}

export function restartsOn({ onPowerOff }: HandsPlan): ('reset' | 'triple-fault' | 'off')[] {
  return onPowerOff === 'restart' ? ['reset', 'triple-fault', 'off'] : ['reset', 'triple-fault'];
}

/** The world without the disks, which are replicas here. */
function worldSpec({ nics, com1, com2 }: HandsPlan): WorldSpec {
  return {
    disks: [],
    nets: nics.map(({ mac, tap }) => ({ kind: 'tap', name: tap, mac })),
    serial: { com1, com2, console: { kind: 'none' } },
  };
}

async function readFiles({ kernel, initrd }: HandsPlan): Promise<SeatFiles> {
  return {
    kernel: await bytesOf('kernel', kernel),
    initrd: initrd === undefined ? undefined : await bytesOf('initrd', initrd),
  };
}

async function bytesOf(what: string, path: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    throw new HostError('E_FILE', `${what} ${path}: ${systemWords(error)}`);
  }
}

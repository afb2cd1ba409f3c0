// Runs the one guest of this board: its disks and its other backends, which stay, and the machine in it,
// which comes and goes. A machine that was told to leave is heard no more: what its thread still sends
// is dropped here, and its disk requests are answered to nobody.
import { randomBytes } from 'node:crypto';
import {
  type MemoryDigest as Digest,
  GuestMemory,
  type GuestMemory as Memory,
  MemoryDigest,
} from '../../../native/index.ts';
import type { DiskRequest, Input, SerialPortName } from '../../devices/contracts.ts';
import { type BackendEvents, type BackendSpec, Backends, diskSerial } from '../../host/backends.ts';
import { DiskReplica } from '../../host/disk-replica.ts';
import { type Chosen, chooseEngine } from '../../host/engines.ts';
import { STORM_LIMITS, StormGuard } from '../../host/net/storm-guard.ts';
import { LineStates } from '../../host/serial/line-states.ts';
import type { GuestConfig, GuestSetup, OutputItem, VcpuOptions } from '../../host/vcpu/vcpu.ts';
import { Vcpu, type VcpuEnd } from '../../host/vcpu/vcpu.ts';
import type { ByteRange } from '../../lockstep/region-map.ts';
import type { Divergence } from '../../lockstep/replayer.ts';
import type { GuestDevices } from '../../machine/plug.ts';
import type { GuestPlan } from '../config/types.ts';
import { type GuestFiles, readFiles } from './guest-files.ts';
import { KeptMemory } from './kept-memory.ts';
import { TargetMemory } from './target-memory.ts';
import type { NetFacts } from './types.ts';

/** What the guest says and hears, apart from its disks. */
export interface GuestBackends {
  /** What of it carries nothing now, in words; it is taken again by itself. */
  readonly missing?: string | null;
  /** Nothing comes in before. */
  start(): void;
  deliver(outputs: readonly OutputItem[]): void;
  serialTaken(port: SerialPortName, bytes: number): void;
  close(): Promise<void>;
}

export type OpenBackends = (spec: BackendSpec, events: BackendEvents) => Promise<GuestBackends>;

export interface RunnerEvents {
  onLog(bytes: Uint8Array): void;
  onOutputs(outputs: readonly OutputItem[], leads: boolean): void;
  onProgress(): void;
  onDivergence(divergence: Divergence): void;
  onReboot(life: number): void;
  /** By itself, or because its thread broke. */
  onEnded(end: VcpuEnd | Error): void;
  onDiskTrouble(words: string): void;
  /** Another board has the guest in step: it may do what a disk of this board cannot. */
  isBackedUp(): boolean;
  /** Asked before anything is written to a disk; what it answers is waited for. */
  beforeDiskWrite?(disk: number, range: ByteRange): Promise<void> | undefined;
  onDiskWriteFailed?(): void;
  onNotice(line: string): void;
}

/** Until the first measurement, a few milliseconds after the start: 10 ns a position. */
const FIRST_MULTIPLIER = 10n << 32n;
const DIGEST_INTERVAL_NS = 1_000_000_000n;

interface RunningGuest {
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

export class GuestRunner {
  readonly disks: DiskReplica[] = [];
  /** What a machine that left had for memory. */
  readonly kept: KeptMemory;
  /** Inputs that came while nobody led here. */
  inputsDropped = 0;
  /** What runs every machine in this place. */
  readonly engine: Chosen;
  private readonly plan: GuestPlan;
  private readonly events: RunnerEvents;
  private readonly nowMs: () => number;
  private readonly openBackends: OpenBackends;
  /** One for each network card. */
  private readonly stormGuards: readonly StormGuard[];
  private readonly lines = new LineStates();
  private files: GuestFiles | undefined;
  private backends: GuestBackends | undefined;
  private guest: RunningGuest | undefined;

  constructor(
    plan: GuestPlan,
    events: RunnerEvents,
    nowMs: () => number,
    openBackends: OpenBackends = (spec, events) => Backends.open(spec, events),
  ) {
    this.plan = plan;
    const isInUse = () => this.guest !== undefined;
    this.kept = new KeptMemory({ bytes: plan.memoryBytes, isInUse });
    this.engine = chooseEngine(plan.engine);
    this.events = events;
    this.nowMs = nowMs;
    this.openBackends = openBackends;
    this.stormGuards = plan.nics.map(({ mac }) => new StormGuard(mac, plan.storm ?? STORM_LIMITS));
  }

  /** Kernel, disks and backends, all or nothing; throws one clear line, and may then be called again. */
  async open(): Promise<void> {
    const { plan, events, nowMs } = this;
    try {
      // Read once: it may be long until the rest is there.
      this.files ??= await readFiles(plan);
      for (const [index, disk] of plan.disks.entries()) {
        const onTrouble = (words: string) => events.onDiskTrouble(words);
        const holdsErrors = () => this.leads && events.isBackedUp();
        const beforeWrite = (range: ByteRange) => events.beforeDiskWrite?.(index, range);
        const onWriteFailed = () => events.onDiskWriteFailed?.();
        const options = { ...disk, nowMs, onTrouble, holdsErrors, beforeWrite, onWriteFailed };
        this.disks.push(await DiskReplica.open(options));
      }
      this.backends = await this.openBackends(backendSpec(plan), {
        onInputs: (inputs) => this.inputs(inputs),
        onLeave: () => {},
        onNotice: events.onNotice,
      });
      this.backends.start();
    } catch (error) {
      await this.closeAll();
      throw error;
    }
  }

  get isOpen(): boolean {
    return this.backends !== undefined;
  }

  /** What was open and is lost, in words; null: nothing. */
  get lost(): string | null {
    const lost = [...this.disks.map(({ displaced }) => displaced), this.backends?.missing ?? null];
    const words = lost.filter((one) => one !== null);
    return words.length === 0 ? null : words.join('; ');
  }

  get hasLostDisk(): boolean {
    return this.disks.some(({ displaced }) => displaced !== null);
  }

  /** Takes what lies now where a disk was lost, and throws the guest away for it. What cannot be had yet stays lost. */
  async reopenDisks(): Promise<void> {
    for (const disk of this.disks) {
      if (disk.displaced !== null) await disk.reopen(() => this.empty()).catch(() => {});
    }
  }

  get vcpu(): Vcpu | undefined {
    return this.guest?.vcpu;
  }

  get leads(): boolean {
    return this.guest?.leads ?? false;
  }

  /** From the next output on, and for every input. */
  setLeads(leads: boolean): void {
    if (this.guest === undefined) return;
    this.guest.leads = leads;
    this.guest.hears = leads;
  }

  /** It will lead in a moment: what comes from now on waits for it. */
  listen(): void {
    if (this.guest === undefined) return;
    this.guest.hears = true;
    this.guest.vcpu?.send(this.lines.all());
  }

  /** A guest from power-on. Throws VcpuStartError. */
  async boot(): Promise<void> {
    const guest = this.begin(true);
    const config = this.config(Math.floor(Date.now() / 1000), new Uint8Array(randomBytes(32)));
    try {
      this.settle(guest, await Vcpu.start(this.vcpuOptions(config, guest)));
    } catch (error) {
      this.leave(guest)?.close();
      throw error;
    }
  }

  /** A guest as the other board's is. Throws VcpuStartError. */
  async adopt({ memory, digest }: TargetMemory, checkpoint: Uint8Array): Promise<void> {
    const guest = this.begin(false);
    guest.memory = memory;
    // All of it is in the checkpoint.
    const config = this.config(0, new Uint8Array(32));
    const adoption = { memoryToken: memory.token, digestToken: digest.token, checkpoint };
    try {
      this.settle(guest, await Vcpu.adopt(this.vcpuOptions(config, guest), adoption));
    } catch (error) {
      // Not kept: the next attempt is not to fail for what is in it.
      this.leave(guest)?.close();
      throw error;
    } finally {
      // The thread has it.
      digest.close();
    }
  }

  /** The memory of the guest that is here. */
  memory(): Memory {
    const { guest } = this;
    if (guest?.vcpu === undefined) throw new Error('there is no guest');
    guest.memory ??= new GuestMemory({ token: guest.vcpu.memoryToken });
    return guest.memory;
  }

  /** Its thread ends, nothing of it is heard any more, its disk requests are done, and its memory is kept. */
  async empty(): Promise<void> {
    const { guest } = this;
    if (guest === undefined) return;
    const memory = this.leave(guest);
    const digest = digestOf(guest.vcpu, memory);
    guest.vcpu?.stop();
    const isWhole = await guest.vcpu?.ended.then(
      () => true,
      () => false,
    );
    // A thread that broke has not taken in what it wrote last.
    if (!isWhole) digest?.close();
    if (memory !== undefined)
      this.kept.keep(new TargetMemory(memory, isWhole ? digest : undefined));
    await Promise.all(this.disks.map((disk) => disk.idle()));
  }

  deliver(outputs: readonly OutputItem[]): void {
    this.backends?.deliver(outputs);
  }

  /** What was kept from the guest's network cards while it led here. */
  get nets(): NetFacts[] {
    const now = this.nowMs();
    return this.plan.nics.map(({ tap }, nic) => ({ tap, ...this.stormGuards[nic]!.facts(now) }));
  }

  /** Since when the oldest disk request has been under way. */
  get diskBusySinceMs(): number | null {
    const since = this.disks.flatMap(({ busySinceMs }) => busySinceMs ?? []);
    return since.length === 0 ? null : Math.min(...since);
  }

  async close(): Promise<void> {
    await this.empty();
    this.kept.drop();
    await this.closeAll();
  }

  private async closeAll(): Promise<void> {
    await this.backends?.close();
    this.backends = undefined;
    for (const disk of this.disks.splice(0)) await disk.close();
  }

  /** What the guest boots from; throws before it is read. */
  get bootFiles(): GuestFiles {
    if (this.files === undefined) throw new Error('what the guest lives on is not open');
    return this.files;
  }

  // ---- inside -------------------------------------------------------------------------------

  private begin(leads: boolean): RunningGuest {
    if (this.guest !== undefined) throw new Error('a guest runs here already');
    this.kept.drop();
    this.guest = {
      vcpu: undefined,
      leads,
      hears: leads,
      isGone: false,
      early: leads ? this.lines.all() : [],
      memory: undefined,
    };
    return this.guest;
  }

  /** Its memory is the caller's then. */
  private leave(guest: RunningGuest): Memory | undefined {
    guest.isGone = true;
    const memory = guest.memory ?? attached(guest.vcpu);
    guest.memory = undefined;
    if (this.guest === guest) this.guest = undefined;
    for (const disk of this.disks) disk.tellErrors();
    return memory;
  }

  private settle(guest: RunningGuest, vcpu: Vcpu): void {
    if (guest.isGone) {
      vcpu.stop();
      return;
    }
    guest.vcpu = vcpu;
    vcpu.send(guest.early.splice(0));
    const ended = (end: VcpuEnd | Error) => {
      if (!guest.isGone) this.events.onEnded(end);
    };
    vcpu.ended.then(ended, ended);
  }

  /** What the guest is made of, whichever life; throws before its files are read. */
  setup(): GuestSetup {
    const { memoryBytes, append } = this.plan;
    const { kind: engine, interprets } = this.engine;
    return {
      ...{ memoryBytes, engine, interprets, ...this.bootFiles },
      ...{ commandLine: append, devices: this.devices() },
    };
  }

  private config(epochSeconds: number, entropySeed: Uint8Array): GuestConfig {
    return { ...this.setup(), epochSeconds, entropySeed, multiplier: FIRST_MULTIPLIER };
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

  private vcpuOptions(config: GuestConfig, guest: RunningGuest): VcpuOptions {
    const { events } = this;
    const present =
      <Args extends unknown[]>(then: (...args: Args) => void) =>
      (...args: Args) => {
        if (!guest.isGone) then(...args);
      };
    return {
      config,
      log: { kind: 'stream', digestIntervalNs: DIGEST_INTERVAL_NS },
      restartsOn: restartsOn(this.plan),
      onLog: present((bytes) => events.onLog(bytes)),
      onOutputs: present((outputs) => events.onOutputs(outputs, guest.leads)),
      onDiskRequest: present((request) => this.request(request, guest)),
      onReboot: present((life) => {
        if (guest.leads) guest.vcpu?.send(this.lines.all());
        events.onReboot(life);
      }),
      onSerialTaken: present((port, bytes) => this.backends?.serialTaken(port, bytes)),
      onDivergence: present((divergence) => events.onDivergence(divergence)),
      onProgress: present(() => events.onProgress()),
    };
  }

  private request(request: DiskRequest, guest: RunningGuest): void {
    const { disk, id } = request;
    this.disks[disk]!.request(request, (status, data) => {
      if (guest.isGone) return;
      const completion = { kind: 'disk-completion', disk, id, status, data } as const;
      if (guest.vcpu === undefined) guest.early.push(completion);
      else guest.vcpu.send([completion]);
    });
  }

  /** Before it is an entry: a flood must not fill the log. */
  private admits(input: Input): boolean {
    if (input.kind !== 'net-rx') return true;
    return this.stormGuards[input.nic]?.admit(input.frame, this.nowMs()) ?? true;
  }

  /** What comes for a guest that does not lead here is not ours; who sent it says it again. */
  private inputs(inputs: readonly Input[]): void {
    const { guest } = this;
    this.lines.note(inputs);
    if (guest?.hears) {
      const admitted = inputs.filter((input) => this.admits(input));
      if (guest.vcpu === undefined) guest.early.push(...admitted);
      else guest.vcpu.send(admitted);
      return;
    }
    this.inputsDropped += inputs.length;
    for (const input of inputs) {
      if (input.kind === 'serial-rx') this.backends?.serialTaken(input.port, input.bytes.length);
    }
  }
}

/** Undefined: it went with the thread. */
function attached(vcpu: Vcpu | undefined): Memory | undefined {
  if (vcpu === undefined) return undefined;
  try {
    return new GuestMemory({ token: vcpu.memoryToken });
  } catch {
    return undefined;
  }
}

/** Has all of the memory when the thread has ended in order. */
function digestOf(vcpu: Vcpu | undefined, memory: Memory | undefined): Digest | undefined {
  const token = vcpu?.digestToken;
  if (token === undefined || memory === undefined) return undefined;
  try {
    return new MemoryDigest(memory, token);
  } catch {
    return undefined;
  }
}

export function restartsOn({ onPowerOff }: GuestPlan): ('reset' | 'triple-fault' | 'off')[] {
  return onPowerOff === 'restart' ? ['reset', 'triple-fault', 'off'] : ['reset', 'triple-fault'];
}

/** Backends without the disks, which are replicas here. */
function backendSpec({ nics, com1, com2 }: GuestPlan): BackendSpec {
  return {
    disks: [],
    nets: nics.map(({ mac, tap }) => ({ kind: 'tap', name: tap, mac })),
    serial: { com1, com2, console: { kind: 'none' } },
  };
}

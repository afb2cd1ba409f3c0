// A board in one object, without threads or I/O: machine on the real engine, a disk in memory, and
// a driver whose "outside world" (arrival times, disk delays, frames, keys) comes from a seed. The
// recorder and the replayer under test are the real ones.
import { createHash } from 'node:crypto';
import type { DiskRequest, Input } from '../../firmware/devices/contracts.ts';
import { createEngine } from '../../firmware/host/engines.ts';
import { DirtyPages, MachineDigest } from '../../firmware/lockstep/digest.ts';
import type { LocalCompletion } from '../../firmware/lockstep/inputs.ts';
import { OutputTap } from '../../firmware/lockstep/outputs.ts';
import { boot } from '../../firmware/machine/boot/boot.ts';
import type { Engine } from '../../firmware/machine/engine.ts';
import { Machine } from '../../firmware/machine/machine.ts';
import { MemoryBanks } from '../../firmware/machine/memory-banks.ts';
import { plugVirtio } from '../../firmware/machine/plug.ts';
import { GuestMemory, MemoryDigest } from '../../native/index.ts';

export interface GuestFiles {
  kernel: Uint8Array;
  initrd?: Uint8Array;
  commandLine: string;
}

export const MEMORY_BYTES = 128 << 20;
const DISK_BYTES = 4 << 20;
const SECTOR_BYTES = 512;
/** What entries for this board may name. */
export const TARGETS = { nics: 1, disks: 1, hasConsole: false } as const;

/** A disk that answers at once; whoever drives the board decides when the guest hears of it. */
export class MemoryDisk {
  readonly bytes: Uint8Array;
  private readonly done = new Map<number, Input & { kind: 'disk-completion' }>();

  constructor(content = new Uint8Array(DISK_BYTES)) {
    this.bytes = content.slice();
  }

  submit(request: DiskRequest): void {
    const { disk, id, operation, offset, bytes } = request;
    let data: Uint8Array | undefined;
    if (operation === 'read') data = this.bytes.slice(offset, offset + bytes);
    else if (operation === 'write') this.bytes.set(request.data as Uint8Array, offset);
    else if (operation !== 'flush') this.bytes.fill(0, offset, offset + bytes);
    this.done.set(id, { kind: 'disk-completion', disk, id, status: 'ok', data });
  }

  get waiting(): number[] {
    return [...this.done.keys()];
  }

  take(id: number): Input & { kind: 'disk-completion' } {
    const completion = this.done.get(id);
    if (completion === undefined) throw new Error(`no request ${id}`);
    this.done.delete(id);
    return completion;
  }

  local(id: number): LocalCompletion {
    return this.done.has(id) ? { state: 'done', data: this.take(id).data } : { state: 'pending' };
  }

  hash(): string {
    return createHash('sha256').update(this.bytes).digest('hex');
  }
}

/** Machine, memory and digest of one board; the guest is loaded and at its first instruction. */
export class Rig {
  readonly memory = new GuestMemory({ bytes: MEMORY_BYTES });
  readonly bytes = new Uint8Array(this.memory.buffer);
  readonly engine: Engine;
  readonly tap = new OutputTap();
  readonly disk: MemoryDisk;
  readonly machine: Machine;
  readonly digest: MachineDigest;

  constructor(disk = new MemoryDisk(), interprets = false) {
    this.engine = createEngine(this.memory, 'soft', interprets);
    this.disk = disk;
    this.machine = new Machine({
      engine: this.engine,
      memory: new MemoryBanks([this.bytes]),
      output: this.tap.sink,
      epochSeconds: 1_700_000_000,
      entropySeed: new Uint8Array(32).fill(7),
      multiplier: 6n << 32n,
      plug: plugVirtio({
        nics: [{ mac: Uint8Array.of(2, 0, 0, 0, 0, 1) }],
        disks: [{ sectors: disk.bytes.length / SECTOR_BYTES, isReadOnly: false, serial: 'rig' }],
        hasConsole: false,
      }),
    });
    const dirty = new DirtyPages(this.engine, MEMORY_BYTES);
    const memory = new MemoryDigest(this.memory);
    this.digest = new MachineDigest({ state: () => this.machine.state() as never, memory, dirty });
  }

  load(files: GuestFiles): this {
    this.machine.start(boot(this.machine.ram, { ...files, initrd: files.initrd }));
    return this;
  }

  /** Everything that makes two boards equal, as text for an assertion. */
  fingerprint(): Record<string, string> {
    const { state, memory } = this.digest.take();
    return {
      position: String(this.machine.position),
      state: state.toString(16),
      memory: memory.toString(16),
      disk: this.disk.hash(),
    };
  }

  close(): void {
    this.engine.close();
    this.memory.close();
  }
}

// One life of a guest: engine, machine and digest over guest memory, from power-on to whatever ends it. On a
// primary the power-on was here. On a backup it may have been on the other board, from which the state was
// adopted. Guest memory outlives a life: the next one clears it and uses it again, so that sync-up, which
// copies memory, has to know only one.
import { GuestMemory, MemoryDigest } from '../../../native/index.ts';
import type { DiskRequest, StateValue } from '../../devices/contracts.ts';
import { DirtyPages, MachineDigest } from '../../lockstep/digest.ts';
import { LockstepError } from '../../lockstep/errors.ts';
import type { Birth } from '../../lockstep/item-stream.ts';
import { encodeLiveState, type LiveState } from '../../lockstep/live-state.ts';
import { type OutputCounter, OutputTap } from '../../lockstep/outputs.ts';
import type { SliceMemory } from '../../lockstep/slice-pages.ts';
import { boot } from '../../machine/boot/boot.ts';
import type { Engine } from '../../machine/engine.ts';
import { Machine } from '../../machine/machine.ts';
import { MemoryBanks } from '../../machine/memory-banks.ts';
import { type PluggedDevices, plugVirtio } from '../../machine/plug.ts';
import { DEFAULT_ENGINE, traitsOf } from '../engine-kinds.ts';
import { createEngine } from '../engines.ts';
import type { GuestConfig } from './messages.ts';
import { Outbox } from './outbox.ts';

export interface LifeOptions {
  config: GuestConfig;
  /** For a power-on all zero; for an adoption as it is on the other board. */
  memory: GuestMemory;
  birth: Birth;
  hasDigest: boolean;
  /** For an adoption: the digest of that memory is made already. */
  digestToken?: number | undefined;
}

/** Virtual time after which written pages are taken into the digest: a slice must not pay for many. */
export const DIGEST_REFRESH_NS = 25_000_000n;

export class Life {
  readonly birth: Birth;
  readonly machine: Machine;
  readonly tap = new OutputTap();
  readonly outbox = new Outbox();
  readonly digest: MachineDigest | undefined;
  readonly kickToken: bigint;
  /** Where the engine's slices can end between positions: what its recorder needs. */
  readonly slices: SliceMemory | undefined;

  private readonly engine: Engine;
  private readonly dirty: DirtyPages;
  private readonly plugged: PluggedDevices;
  private dirtyForSync: (() => Uint8Array) | undefined;
  private refreshAtNs = 0n;

  /** Throws BootError. */
  static powerOn(options: LifeOptions): Life {
    const life = new Life(options, 'zeroes');
    life.machine.start(boot(life.machine.ram, options.config));
    return life;
  }

  /** Goes on where another board stood. Throws LockstepError where the state is of another machine. */
  static adopt(options: LifeOptions, state: LiveState['machine']): Life {
    const life = new Life(options, 'all');
    try {
      life.machine.restore(state);
    } catch (error) {
      life.close();
      const why = error instanceof Error ? error.message : String(error);
      throw new LockstepError('E_CHECKPOINT', `this state is of another machine: ${why}`);
    }
    if (options.digestToken === undefined) life.digest?.refresh();
    else life.digest?.passOver();
    return life;
  }

  private constructor(options: LifeOptions, digestFrom: 'all' | 'zeroes') {
    const { config, memory, birth, hasDigest, digestToken } = options;
    this.birth = birth;
    const kind = config.engine ?? DEFAULT_ENGINE;
    this.engine = createEngine(memory, kind, config.interprets);
    this.kickToken = this.engine.kickToken;
    this.dirty = new DirtyPages(this.engine, config.memoryBytes);
    const banks = MemoryBanks.of(memory);
    if (traitsOf(kind).closesSlices) {
      this.slices = { memory: banks, takeDirty: this.dirty.reader() };
    }
    let plugged: PluggedDevices | undefined;
    this.machine = new Machine({
      engine: this.engine,
      memory: banks,
      output: this.tap.sink,
      epochSeconds: birth.epochSeconds,
      entropySeed: birth.entropySeed,
      multiplier: birth.multiplier,
      plug: (context) => {
        plugged = plugVirtio(config.devices)(context);
        return plugged;
      },
    });
    this.plugged = plugged!;
    if (!hasDigest) return;
    this.digest = new MachineDigest({
      state: () => this.machine.state() as unknown as StateValue,
      memory:
        digestToken === undefined
          ? new MemoryDigest(memory)
          : new MemoryDigest(memory, digestToken),
      dirty: this.dirty,
      from: digestFrom,
    });
  }

  /** Now and then, between slices: the digest of memory follows what was written. */
  keepCurrent(): void {
    if (this.digest === undefined) return;
    const nowNs = this.machine.nowNs();
    if (nowNs < this.refreshAtNs) return;
    this.refreshAtNs = nowNs + DIGEST_REFRESH_NS;
    this.digest.refresh();
  }

  /** Sync-up's reader of dirty pages. */
  takeDirty(): Uint8Array {
    this.dirtyForSync ??= this.dirty.reader('all');
    return this.dirtyForSync();
  }

  state(outputs: OutputCounter): Uint8Array {
    const machine = this.machine.state();
    return encodeLiveState({ birth: this.birth, machine, outputs: outputs.state() });
  }

  /** What is out at the disks, in order of issue. */
  pendingRequests(): DiskRequest[] {
    const requests: DiskRequest[] = [];
    for (const disk of this.plugged.disks) requests.push(...disk.pendingRequests());
    return requests;
  }

  /** Gives the engine back. */
  close(): void {
    this.engine.close();
  }
}

/** Memory that another thread has filled. Throws RangeError. */
export function adoptedMemory(token: number, bytes: number): GuestMemory {
  let memory: GuestMemory;
  try {
    memory = new GuestMemory({ token });
  } catch (error) {
    throw new RangeError(`guest memory: ${(error as Error).message}`);
  }
  if (memory.bytes === bytes) return memory;
  throw new RangeError(`guest memory of ${memory.bytes} bytes, the guest has ${bytes}`);
}

// Replays a log file on this board alone: builds the machine the log is of, from the same files, and
// runs it along the entries. Disks are overlays: the images stay as they are.

import { GuestMemory, MemoryDigest } from '../../native/index.ts';
import type { DiskRequest, Input, StateValue } from '../devices/contracts.ts';
import { type Checkpoint, CheckpointReader, writeCheckpoint } from '../lockstep/checkpoint.ts';
import { type Digests, DirtyPages, MachineDigest } from '../lockstep/digest.ts';
import type { Entry } from '../lockstep/entry.ts';
import { LockstepError } from '../lockstep/errors.ts';
import {
  identityDifferences,
  identityState,
  type MachineIdentity,
} from '../lockstep/guest-identity.ts';
import { type ExternalOutput, OutputTap } from '../lockstep/outputs.ts';
import { Recorder, type RecorderOptions } from '../lockstep/recorder.ts';
import { type Progress, Replayer } from '../lockstep/replayer.ts';
import { boot } from '../machine/boot/boot.ts';
import type { Engine } from '../machine/engine.ts';
import { Machine } from '../machine/machine.ts';
import { MemoryBanks } from '../machine/memory-banks.ts';
import { type PluggedDevices, plugVirtio } from '../machine/plug.ts';
import { diskSerial } from './backends.ts';
import { DEFAULT_ENGINE, type EngineKind, engineKind } from './engine-kinds.ts';
import { createEngine } from './engines.ts';
import { CPU_MODEL, firmwareVersion, sha256 } from './identity.ts';
import { OverlayDisk } from './overlay-disk.ts';

export interface ReplayFiles {
  kernel: Uint8Array;
  initrd: Uint8Array | undefined;
  /** Paths of images as they were when the recording began. */
  disks: readonly string[];
}

export interface ReplayOptions {
  identity: MachineIdentity;
  files: ReplayFiles;
  onOutput: (output: ExternalOutput) => void;
  /** Without the translator. */
  interprets?: boolean | undefined;
}

export interface ReplayEnd {
  readonly progress: Progress;
  readonly position: bigint;
  readonly entries: number;
  readonly digests: Digests;
  /** SHA-256 of each disk as the guest left it. */
  readonly disks: readonly Uint8Array[];
}

export class Replay {
  readonly machine: Machine;
  readonly replayer: Replayer;
  private readonly memory: GuestMemory;
  private readonly banks: MemoryBanks;
  private readonly engine: Engine;
  private readonly tap = new OutputTap();
  private readonly digest: MachineDigest;
  private readonly disks: OverlayDisk[];
  private readonly identity: MachineIdentity;
  private readonly files: ReplayFiles;
  private plugged: PluggedDevices | undefined;
  private skip = 0;

  /** Throws LockstepError where the files are not the recorded ones, BootError, DiskError. */
  constructor({ identity, files, onOutput, interprets }: ReplayOptions) {
    this.identity = identity;
    this.files = files;
    this.disks = files.disks.map((path) => new OverlayDisk(path));
    checkFiles(identity, files, this.disks);
    this.memory = new GuestMemory({ bytes: identity.memoryBytes });
    this.banks = MemoryBanks.of(this.memory);
    this.engine = createEngine(this.memory, engineOf(identity), interprets);
    this.machine = new Machine({
      engine: this.engine,
      memory: this.banks,
      output: this.tap.sink,
      epochSeconds: identity.epochSeconds,
      entropySeed: identity.entropySeed,
      multiplier: identity.multiplier,
      plug: (context) => {
        this.plugged = plugVirtio(devicesOf(identity))(context);
        return this.plugged;
      },
    });
    this.digest = new MachineDigest({
      state: () => this.machine.state() as unknown as StateValue,
      memory: new MemoryDigest(this.memory),
      dirty: new DirtyPages(this.engine, identity.memoryBytes),
    });
    this.replayer = new Replayer({
      machine: this.machine,
      tap: this.tap,
      digest: this.digest,
      onOutput,
      targets: {
        nics: identity.macs.length,
        disks: identity.disks.length,
        hasConsole: identity.hasConsole,
      },
      onDiskRequest: (request) => this.disks[request.disk]?.submit(request),
      localCompletion: (disk, id) =>
        this.disks[disk]?.completion(id) ?? { state: 'failed', why: `there is no disk ${disk}` },
    });
  }

  /** From power-on. */
  start(): void {
    const { kernel, initrd } = this.files;
    const request = { kernel, initrd, commandLine: this.identity.commandLine };
    this.machine.start(boot(this.machine.ram, request));
  }

  /** From a checkpoint of this very recording; the entries before it are skipped. */
  startFrom(pieces: Iterable<Uint8Array>): Checkpoint {
    const reader = new CheckpointReader(this.banks, ({ disk, offset, bytes }) =>
      this.disks[disk]?.write(offset, bytes),
    );
    for (const piece of pieces) reader.push(piece);
    const checkpoint = reader.finish();
    const differences = identityDifferences(
      checkpoint.identity as unknown as MachineIdentity,
      this.identity,
    );
    if (differences.length > 0) throw new LockstepError('E_IDENTITY', differences.join('; '));
    this.machine.restore(checkpoint.machine);
    this.reissue();
    this.replayer.outputs.restore(checkpoint.outputs.state());
    this.replayer.applied = checkpoint.entries;
    this.skip = checkpoint.entries;
    return checkpoint;
  }

  push(entries: readonly Entry[]): void {
    const skipped = Math.min(this.skip, entries.length);
    this.skip -= skipped;
    for (const entry of entries.slice(skipped)) this.replayer.push(entry);
  }

  /** Runs as far as the entries go, but no entry beyond `until`. */
  run(until?: bigint): Progress {
    let progress: Progress = 'applied';
    while (progress === 'applied' || progress === 'kicked') {
      if (until !== undefined && (this.replayer.nextPosition ?? 0n) > until) {
        if (this.machine.position < until) this.machine.runSlice(until);
        return 'waiting';
      }
      progress = this.replayer.advance();
    }
    return progress;
  }

  /**
   * Goes on from here as a recorder. Requests in flight were executed by the replay; `completions` gives
   * what the guest is still to be told of them, and of every request it makes from now on.
   */
  goLive(options: Pick<RecorderOptions, 'append' | 'onOutput'>): {
    recorder: Recorder;
    completions: () => Input[];
  } {
    const { machine, tap, digest, replayer } = this;
    if (replayer.divergence !== undefined) throw new Error('a diverged machine must not go live');
    if (replayer.backlog > 0)
      throw new Error(`${replayer.backlog} entries are still to be applied`);
    let requests: DiskRequest[] = this.pendingRequests();
    const onDiskRequest = (request: DiskRequest) => {
      this.disks[request.disk]?.submit(request);
      requests.push(request);
    };
    const completions = () => {
      const done = requests;
      requests = [];
      return done.map((request) => this.completionOf(request));
    };
    const { outputs } = replayer;
    const recorder = new Recorder({ ...options, machine, tap, digest, outputs, onDiskRequest });
    recorder.markPending();
    return { recorder, completions };
  }

  checkpoint(): Generator<Uint8Array> {
    return writeCheckpoint(this.machine, this.banks, {
      identity: identityState(this.identity),
      outputs: this.replayer.outputs,
      entries: this.replayer.applied,
      disks: this.writtenBlocks(),
    });
  }

  end(progress: Progress): ReplayEnd {
    return {
      progress,
      position: this.machine.position,
      entries: this.replayer.applied,
      digests: this.digest.take(),
      disks: this.disks.map((disk) => disk.sha256()),
    };
  }

  close(): void {
    for (const disk of this.disks) disk.close();
    this.engine.close();
    this.memory.close();
  }

  /** Requests in flight at the checkpoint: done again, which changes nothing (none overlap). */
  private reissue(): void {
    for (const request of this.pendingRequests()) this.disks[request.disk]?.submit(request);
  }

  private pendingRequests(): DiskRequest[] {
    const disks: PluggedDevices['disks'] = this.plugged?.disks ?? [];
    const requests: DiskRequest[] = [];
    for (const disk of disks) requests.push(...disk.pendingRequests());
    return requests;
  }

  private completionOf({ disk, id }: DiskRequest): Input {
    const local = this.disks[disk]?.completion(id);
    return local?.state === 'done'
      ? { kind: 'disk-completion', disk, id, status: 'ok', data: local.data }
      : { kind: 'disk-completion', disk, id, status: 'io-error', data: undefined };
  }

  private *writtenBlocks() {
    for (const [disk, overlay] of this.disks.entries()) {
      for (const { offset, bytes } of overlay.written()) yield { disk, offset, bytes };
    }
  }
}

function devicesOf(identity: MachineIdentity) {
  return {
    nics: identity.macs.map((mac) => ({ mac })),
    disks: identity.disks.map(({ bytes, isReadOnly }, index) => ({
      sectors: bytes / 512,
      isReadOnly,
      serial: diskSerial(index),
    })),
    hasConsole: identity.hasConsole,
  };
}

/** The engine a log is of; the software engine for one this firmware does not know, and so refuses. */
function engineOf({ engine }: MachineIdentity): EngineKind {
  return engineKind(engine) ?? DEFAULT_ENGINE;
}

function checkFiles(identity: MachineIdentity, files: ReplayFiles, disks: OverlayDisk[]): void {
  const here: MachineIdentity = {
    ...identity,
    firmwareVersion: firmwareVersion(),
    engine: engineOf(identity),
    cpuModel: CPU_MODEL,
    kernel: sha256(files.kernel),
    initrd: files.initrd === undefined ? null : sha256(files.initrd),
    disks: disks.map((disk, at) => ({
      bytes: disk.bytes,
      sha256: disk.sha256(),
      isReadOnly: identity.disks[at]?.isReadOnly ?? false,
    })),
  };
  const differences = identityDifferences(identity, here);
  if (differences.length > 0) throw new LockstepError('E_IDENTITY', differences.join('; '));
}

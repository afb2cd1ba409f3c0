// One life of a guest, from power-on to whatever ends it: memory, engine, machine, and the recorder
// every input goes through. An unprotected guest is a recorded one whose log nobody keeps.
import { GuestMemory, kick, MemoryDigest } from '../../../native/index.ts';
import { DirtyPages, MachineDigest } from '../../lockstep/digest.ts';
import { LogWriter } from '../../lockstep/log-file.ts';
import { isPrompt, OutputTap } from '../../lockstep/outputs.ts';
import { Pacer } from '../../lockstep/pacer.ts';
import { Recorder } from '../../lockstep/recorder.ts';
import { boot } from '../../machine/boot/boot.ts';
import type { Engine, StateValue } from '../../machine/contracts.ts';
import { Machine } from '../../machine/machine.ts';
import { plugVirtio } from '../../machine/plug.ts';
import { createEngine } from '../vtx-engine.ts';
import { VcpuLoop } from './loop.ts';
import type { GuestConfig, LogConfig } from './messages.ts';
import { Outbox } from './outbox.ts';

export interface LifeOptions {
  config: GuestConfig;
  log: LogConfig | undefined;
  realNs: () => bigint;
}

export interface Life {
  readonly loop: VcpuLoop;
  readonly machine: Machine;
  readonly recorder: Recorder;
  readonly outbox: Outbox;
  readonly log: LogWriter | undefined;
  readonly kickToken: bigint;
  /** Gives memory and engine back. */
  close(): void;
}

/** Power on. Throws BootError, or RangeError for memory this host does not give. */
export function startLife({ config, log, realNs }: LifeOptions): Life {
  const memory = new GuestMemory({ bytes: config.memoryBytes });
  const bytes = new Uint8Array(memory.buffer);
  const engine = createEngine(memory, config.engine ?? 'soft');
  const { kickToken } = engine;
  const tap = new OutputTap();
  const machine = new Machine({
    engine,
    memory: bytes,
    output: tap.sink,
    epochSeconds: config.epochSeconds,
    entropySeed: config.entropySeed,
    multiplier: config.multiplier,
    plug: plugVirtio(config.devices),
  });
  machine.start(boot(machine.ram, config));

  const outbox = new Outbox();
  const writer = log === undefined ? undefined : new LogWriter(log.identity);
  const recorder = new Recorder({
    machine,
    tap,
    digest: log?.digestIntervalNs === undefined ? undefined : digestOf(machine, engine, memory),
    append: (entry) => writer?.append(entry),
    onOutput: (output, sequence) => {
      outbox.add(output, sequence);
      // Somebody waits for it: end the slice, so that it leaves now.
      if (isPrompt(output)) kick(kickToken);
    },
    onDiskRequest: (request) => {
      outbox.request(request);
      kick(kickToken);
    },
  });
  const pacer = new Pacer({
    realNs: realNs(),
    virtualNs: machine.nowNs(),
    icount: machine.icount,
    multiplier: machine.multiplier,
  });
  const digestIntervalNs = log?.digestIntervalNs;
  const loop = new VcpuLoop({ machine, recorder, pacer, realNs, digestIntervalNs });
  const close = () => {
    engine.close();
    memory.close();
  };
  return { loop, machine, recorder, outbox, log: writer, kickToken, close };
}

function digestOf(machine: Machine, engine: Engine, memory: GuestMemory): MachineDigest {
  return new MachineDigest({
    state: () => machine.state() as unknown as StateValue,
    memory: new MemoryDigest(memory),
    dirty: new DirtyPages(engine, machine.ram.bytes),
  });
}

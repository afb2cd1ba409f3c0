// A guest on this host: its vCPU thread and its backends, wired to each other. Unprotected: what it says
// leaves at once, and its log is kept only when somebody asks for it.
import { randomBytes } from 'node:crypto';
import type { Input } from '../devices/contracts.ts';
import { identityState } from '../lockstep/guest-identity.ts';
import { type BackendSpec, Backends } from './backends.ts';
import type { EngineChoice } from './engine-kinds.ts';
import { chooseEngine } from './engines.ts';
import { identityOf } from './identity.ts';
import { LineStates } from './serial/line-states.ts';
import { Vcpu, type VcpuEnd } from './vcpu/vcpu.ts';

export interface GuestSpec extends BackendSpec {
  readonly memoryBytes: number;
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array | undefined;
  readonly commandLine: string;
  readonly rebootsOnReset: boolean;
  readonly engine: EngineChoice;
  /** Keep the log; undefined for a guest nobody will replay. */
  readonly record?: GuestRecord;
}

export interface GuestRecord {
  /** Virtual time between digests in the log. */
  readonly digestIntervalNs: bigint;
  /** Bytes of the log file, in order. Called before the outputs they cover are let out. */
  readonly onLog: (bytes: Uint8Array) => void;
}

/** Until the first measurement, a few milliseconds after the start: 10 ns a position. */
const FIRST_MULTIPLIER = 10n << 32n;

export class Guest {
  private readonly vcpu: Vcpu;
  private readonly backends: Backends;

  /** Throws an error whose message is one clear line, with a code that starts with E_. */
  static async start(spec: GuestSpec, onNotice: (line: string) => void): Promise<Guest> {
    // What comes before the guest runs waits for it.
    const early: Input[] = [];
    const lines = new LineStates();
    let leavesEarly = false;
    let vcpu: Vcpu | undefined;
    const backends = await Backends.open(spec, {
      onInputs: (inputs) => {
        lines.note(inputs);
        if (vcpu === undefined) early.push(...inputs);
        else vcpu.send(inputs);
      },
      onLeave: () => {
        leavesEarly = vcpu === undefined;
        vcpu?.stop();
      },
      onNotice,
    });
    backends.start();
    try {
      const engine = chooseEngine(spec.engine);
      const config = {
        memoryBytes: spec.memoryBytes,
        kernel: spec.kernel,
        initrd: spec.initrd,
        commandLine: spec.commandLine,
        devices: backends.devices(spec),
        epochSeconds: Math.floor(Date.now() / 1000),
        entropySeed: new Uint8Array(randomBytes(32)),
        multiplier: FIRST_MULTIPLIER,
        engine: engine.kind,
        interprets: engine.interprets,
      };
      const { record } = spec;
      const paths = spec.disks.map(({ path }) => path);
      vcpu = await Vcpu.start({
        config,
        log: record && {
          kind: 'file',
          identity: identityState(await identityOf(config, paths)),
          digestIntervalNs: record.digestIntervalNs,
        },
        restartsOn: spec.rebootsOnReset ? ['reset'] : [],
        onOutputs: (outputs) => backends.deliver(outputs),
        onDiskRequest: (request) => backends.request(request),
        onLog: (bytes) => record?.onLog(bytes),
        onReboot: () => vcpu?.send(lines.all()),
        onSerialTaken: (port, bytes) => backends.serialTaken(port, bytes),
      });
      vcpu.send(early);
      if (leavesEarly) vcpu.stop();
      return new Guest(vcpu, backends);
    } catch (error) {
      await backends.close();
      throw error;
    }
  }

  private constructor(vcpu: Vcpu, backends: Backends) {
    this.vcpu = vcpu;
    this.backends = backends;
  }

  /** Ends the guest where it stands, as pulling the plug would. */
  stop(): void {
    this.vcpu.stop();
  }

  /** How it ended; everything on the host is as before. */
  async end(): Promise<VcpuEnd> {
    try {
      return await this.vcpu.ended;
    } finally {
      await this.backends.close();
    }
  }
}

// An engine that executes nothing: it hands out a prepared list of exits and notes what the machine
// does to it.

import {
  type CpuSetup,
  type Engine,
  ExitReason,
  type KickToken,
} from '../../firmware/machine/engine.ts';

export type ScriptedExit = {
  readonly reason: ExitReason;
  readonly address?: number;
  readonly bytes?: number;
  readonly low?: number;
  readonly high?: number;
  readonly retires?: number; // instructions executed before this exit
};

export class ScriptedEngine implements Engine {
  readonly kind = 'scripted';
  readonly statesFrom = ['scripted'];
  readonly kickToken: KickToken = 0n;
  readonly calls: string[] = [];
  canTakeInterrupts = true;
  halted = false;
  setupWith: CpuSetup | undefined;

  exitAddress = 0;
  exitBytes = 0;
  exitValueLow = 0;
  exitValueHigh = 0;

  private readonly script: ScriptedExit[];
  private at = 0n;
  private line = false;

  constructor(script: readonly ScriptedExit[]) {
    this.script = [...script];
  }

  // When the script is over, every run goes to its limit.
  run(limit: bigint): ExitReason {
    const next = this.script[0];
    if (next === undefined || this.at + BigInt(next.retires ?? 0) > limit) {
      if (limit > this.at) this.at = limit;
      return ExitReason.limit;
    }
    this.script.shift();
    this.at += BigInt(next.retires ?? 0);
    this.exitAddress = next.address ?? 0;
    this.exitBytes = next.bytes ?? 1;
    this.exitValueLow = next.low ?? 0;
    this.exitValueHigh = next.high ?? 0;
    if (next.reason === ExitReason.halt) this.halted = true;
    return next.reason;
  }

  /** So much before a limit that is near. */
  endsEarly = 0n;
  runNear(limit: bigint): ExitReason {
    const early = limit - this.endsEarly;
    return this.run(early > this.at ? early : this.at + 1n);
  }

  completeRead(low: number, high: number): void {
    this.calls.push(`read ${low.toString(16)} ${high.toString(16)}`);
  }
  setInterruptLine(raised: boolean): void {
    if (raised !== this.line) this.calls.push(`line ${raised}`);
    this.line = raised;
  }
  canInterrupt(): boolean {
    return this.canTakeInterrupts;
  }
  interrupt(vector: number): void {
    this.halted = false;
    this.calls.push(`interrupt ${vector.toString(16)}`);
  }
  nmi(): void {
    this.calls.push('nmi');
  }
  position(): bigint {
    return this.at;
  }
  isHalted(): boolean {
    return this.halted;
  }
  setTsc(base: bigint, multiplier: bigint): void {
    this.calls.push(`tsc ${base} ${multiplier}`);
  }
  seedEntropy(seed: Uint8Array): void {
    this.calls.push(`seed ${seed.length}`);
  }
  reset(): void {
    this.calls.push('reset');
  }
  setup(cpu: CpuSetup): void {
    this.setupWith = cpu;
  }
  getState(): Uint8Array {
    return new Uint8Array(0);
  }
  setState(): void {}
  memoryWritten(address: number, bytes: number): void {
    this.calls.push(`written ${address.toString(16)} ${bytes}`);
  }
  takeDirtyPages(): void {}
  close(): void {}
}

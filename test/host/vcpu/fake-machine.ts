// A machine and its recorder without a guest: every slice costs a set real time per instruction, ends as
// it is told, and everything that is done to it is written down.

import type { Input, Output, SerialPortName } from '../../../firmware/devices/contracts.ts';
import type { LoopMachine, LoopRecorder } from '../../../firmware/host/vcpu/loop.ts';
import type { SliceEnd, StopReason } from '../../../firmware/machine/machine-types.ts';

export class FakeMachine implements LoopMachine, LoopRecorder {
  realNs = 1_000_000_000n;
  position = 0n;
  stopReason: StopReason | undefined;
  deadlineNs: bigint | undefined;
  /** Real nanoseconds an instruction takes. */
  costNs = 10n;
  /** What the next slices end with, after how many instructions, and what they make; then 'limit'. */
  readonly script: { end: SliceEnd; instructions?: bigint; makes?: readonly Output[] }[] = [];
  /** Where what a slice makes goes to. */
  output: (output: Output) => void = () => {};
  isHalted = false;
  readonly inputs: Input[] = [];
  readonly slices: bigint[] = [];
  digests = 0;
  backlog = 0;
  private baseNs = 0n;
  private basePosition = 0n;
  multiplier = 10n << 32n;

  nowNs(): bigint {
    return this.baseNs + (((this.position - this.basePosition) * this.multiplier) >> 32n);
  }

  nextDeadlineNs(): bigint | undefined {
    return this.deadlineNs;
  }

  serialBacklog(_port: SerialPortName): number {
    return this.backlog;
  }

  inject(input: Input): void {
    this.inputs.push(input);
    if (input.kind === 'clock-step') {
      if (input.ns < this.nowNs()) throw new Error('time went back');
      [this.baseNs, this.basePosition, this.multiplier] = [
        input.ns,
        this.position,
        input.multiplier,
      ];
    }
    if (input.kind === 'serial-rx') this.backlog += input.bytes.length;
    if (input.kind === 'control') this.stopReason = { kind: 'reset' };
  }

  runSlice(limit: bigint): SliceEnd {
    const next = this.script.shift() ?? { end: 'limit' };
    const { end, instructions = limit - this.position, makes = [] } = next;
    this.slices.push(instructions);
    this.position += instructions;
    this.realNs += instructions * this.costNs;
    for (const output of makes) this.output(output);
    if (end === 'stopped') this.stopReason ??= { kind: 'off' };
    return end;
  }

  writeDigest(): void {
    this.digests++;
  }

  /** The kinds of what was injected. */
  kinds(): string[] {
    return this.inputs.map(({ kind }) => kind);
  }
}

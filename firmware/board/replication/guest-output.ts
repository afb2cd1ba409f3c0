// Every output the guest makes on this board. On a primary it waits behind the gate and leaves. On a backup it
// is held until the primary says that its own copy has left; a backup that takes over sends what it holds.
//
// Learned here in passing: the addresses the plant knows the guest by, how the guest has set its serial lines, and
// how long each output of a primary waited.
import { GuestLines } from '../../host/serial/guest-lines.ts';
import type { OutputItem } from '../../host/vcpu/messages.ts';
import { type GateMode, OutputGate } from '../../lockstep/gate.ts';
import { HeldOutputs } from '../../lockstep/held.ts';
import { announcements } from './announce.ts';
import { AddressLearner } from './guest-addresses.ts';
import { decodeHeard, encodeHeard } from './heard.ts';

export interface GuestOutputOptions {
  readonly macs: readonly Uint8Array[];
  readonly deliver: (outputs: readonly OutputItem[]) => void;
  /** On a primary: everything up to this output has left. */
  readonly released: (sequence: bigint) => void;
  readonly nowMs: () => number;
}

interface Made {
  readonly output: OutputItem;
  readonly madeMs: number;
}

/** So many of the newest delays are kept. */
const DELAYS_KEPT = 4096;

export class GuestOutput {
  /** Milliseconds from made to released, the newest ones, in no order. */
  readonly delaysMs: number[] = [];
  private readonly options: GuestOutputOptions;
  private readonly gate: OutputGate<Made>;
  private readonly held = new HeldOutputs<OutputItem>();
  private readonly learners: readonly AddressLearner[];
  private readonly lines = new GuestLines();
  private delayAt = 0;
  private onFirst: (() => void) | undefined;

  constructor(options: GuestOutputOptions) {
    this.options = options;
    this.gate = new OutputGate((items) => this.leave(items));
    this.learners = options.macs.map((mac) => new AddressLearner(mac));
  }

  get mode(): GateMode {
    return this.gate.mode;
  }

  get waiting(): number {
    return this.gate.waiting;
  }

  get heldCount(): number {
    return this.held.waiting;
  }

  oldestMs(): number {
    return this.gate.oldestMs(this.options.nowMs());
  }

  setMode(mode: GateMode): void {
    this.gate.setMode(mode);
  }

  /** Outputs of a guest that leads here; `cover`: the log messages the peer must hold before they leave. */
  lead(outputs: readonly OutputItem[], cover: number): void {
    const madeMs = this.options.nowMs();
    this.learn(outputs);
    const made = outputs.map((output) => ({ output, madeMs }));
    this.gate.put(made, cover, madeMs);
  }

  /** Outputs of a guest that follows here. The primary's guest made the same ones. */
  follow(outputs: readonly OutputItem[]): void {
    this.learn(outputs);
    this.held.put(outputs);
  }

  acked(through: number): void {
    this.gate.acked(through);
  }

  /** The primary says that everything up to this output has left there: the copies go. */
  releasedThere(sequence: bigint): void {
    this.held.release(sequence);
  }

  /** A new stream begins, whose covers count from zero. What waits now waits for an open gate. */
  restart(): void {
    this.gate.restart();
  }

  /**
   * This backup becomes primary. The world may not have seen what is held: it goes first, and needs no
   * acknowledgement, since the old primary's log covered it. Answers how many.
   */
  takeOver(): number {
    this.restart();
    // Settings are no output of their own: the lines of this board have heard of none.
    this.options.deliver(this.lines.all().map((line) => ({ ...line, sequence: 0n })));
    const outputs = this.held.takeAll();
    const madeMs = this.options.nowMs();
    this.gate.put(
      outputs.map((output) => ({ output, madeMs })),
      0,
      madeMs,
    );
    return outputs.length;
  }

  /** This primary becomes backup. What has not left is held: the new primary sends its own copy. */
  handOver(): void {
    this.held.put(this.gate.takeAll().map(({ output }) => output));
  }

  /** The machine of this board is gone, and its outputs with it. */
  clear(): void {
    this.gate.takeAll();
    this.gate.restart();
    this.held.clear();
    this.reborn();
  }

  /** A guest that starts anew has no address before it says so. */
  reborn(): void {
    for (const learner of this.learners) learner.forget();
    this.lines.forget();
  }

  /** For a follower, which hears the guest only from when it came into step. */
  heard(): Uint8Array {
    return encodeHeard({
      cards: this.learners.map(({ heard }) => heard),
      lines: this.lines.all(),
    });
  }

  /** What the leader heard before; false: it cannot be read. */
  takeHeard(bytes: Uint8Array): boolean {
    const heard = decodeHeard(bytes);
    if (heard === null) return false;
    for (const [nic, networks] of heard.cards.entries()) this.learners[nic]?.merge(networks);
    this.lines.merge(heard.lines);
    return true;
  }

  /** Called once, when the next output leaves. */
  whenFirst(then: () => void): void {
    this.onFirst = then;
  }

  /** Sends frames in the guest's name, past the gate: no byte of them is the guest's. Answers how many. */
  announce(): number {
    const frames = this.options.macs.flatMap((mac, nic) =>
      announcements(mac, this.learners[nic]!.heard).map((frame) => ({ nic, frame })),
    );
    this.options.deliver(
      frames.map(({ nic, frame }) => ({ kind: 'net-tx', nic, frame, sequence: 0n }) as const),
    );
    return frames.length;
  }

  private leave(items: readonly Made[]): void {
    const { deliver, released, nowMs } = this.options;
    deliver(items.map(({ output }) => output));
    this.onFirst?.();
    this.onFirst = undefined;
    released(items.at(-1)!.output.sequence);
    const now = nowMs();
    for (const { madeMs } of items) {
      this.delaysMs[this.delayAt] = now - madeMs;
      this.delayAt = (this.delayAt + 1) % DELAYS_KEPT;
    }
  }

  private learn(outputs: readonly OutputItem[]): void {
    for (const output of outputs) {
      if (output.kind === 'net-tx') this.learners[output.nic]?.sent(output.frame);
      else if (output.kind === 'serial-line') this.lines.note(output);
    }
  }
}

// The recorder: a machine whose every input is written down at its position, and whose every
// visible output leaves a marker. It decides nothing about time or I/O; whoever drives it (the vCPU
// thread) says when to inject and how far to run.
//
// Caller's duties:
// 1. `runSlice(limit)` and `inject(input)` in any order; nobody else touches the machine.
// 2. Hand on what `append` gets, in order, losing nothing; an output waits for its marker.
// 3. Release output number n only when the marker that covers n is acknowledged (docs, Output Rule).
// 4. End the slice soon after an output somebody waits for (`isPrompt`): its marker comes at the end.
// 5. To go live after a replay: apply every entry, make a recorder with the replay's `outputs`, then
//    `markPending()`. What the primary did beyond the last entry nobody has seen. Disk requests whose
//    completion never came are in flight; the local replica's completions are new inputs.

import type { Input, Output } from '../devices/contracts.ts';
import type { Position } from '../machine/engine.ts';
import type { Machine } from '../machine/machine.ts';
import type { SliceEnd } from '../machine/machine-types.ts';
import type { MachineDigest } from './digest.ts';
import type { Entry, EntryBody } from './entry.ts';
import { toEntryBody } from './inputs.ts';
import { type ExternalOutput, isExternal, OutputCounter, type OutputTap } from './outputs.ts';
import { packPages, type SliceMemory } from './slice-pages.ts';

export interface RecorderOptions {
  machine: Machine;
  tap: OutputTap;
  digest: MachineDigest | undefined;
  append: (entry: Entry) => void;
  /** `sequence` is the output's number; it may leave once a marker covering it is acknowledged. */
  onOutput: (output: ExternalOutput, sequence: bigint) => void;
  onDiskRequest: (request: Extract<Output, { kind: 'disk-request' }>) => void;
  /** Outputs made so far: those of the replay before going live. */
  outputs?: OutputCounter;
  /** For engines whose slices can end between positions. */
  slices?: SliceMemory | undefined;
}

export class Recorder {
  private readonly machine: Machine;
  private readonly options: RecorderOptions;
  private readonly outputs: OutputCounter;

  constructor(options: RecorderOptions) {
    this.options = options;
    this.machine = options.machine;
    this.outputs = options.outputs ?? new OutputCounter();
    options.tap.target = (output) => this.output(output);
  }

  get position(): Position {
    return this.machine.position;
  }

  /** Written first, then applied: what the log does not hold never happened. */
  inject(input: Input): void {
    this.append(toEntryBody(input));
    this.machine.inject(input);
    this.markPending();
  }

  runSlice(limit: Position): SliceEnd {
    // What was written before is the same wherever this log is replayed.
    this.options.slices?.takeDirty();
    // Where it ends is what the log will say: so it may as well be where the engine ends at once.
    const end = this.machine.runSlice(limit, 'near');
    if (end === 'open') this.closeSlice();
    this.markPending();
    return end === 'open' ? 'kick' : end;
  }

  /** The guest was kicked out of a long run in which no position came: the log gets what it did. */
  private closeSlice(): void {
    const { slices } = this.options;
    const { position } = this.machine;
    const state = this.machine.closeSlice();
    if (slices !== undefined) {
      const parts = packPages(slices);
      const none = new Uint8Array(0);
      parts.forEach((pages, n) => {
        const isLast = n === parts.length - 1;
        const body = { kind: 'slice-close', state: isLast ? state : none, pages } as const;
        this.options.append({ position, body });
      });
    }
    this.machine.settleSlice();
  }

  /** Writes a digest entry for this position; call it between slices. */
  writeDigest(): void {
    if (this.options.digest === undefined) return;
    this.append({ kind: 'digest', ...this.options.digest.take() });
  }

  /** The log ends here, in order. */
  end(): void {
    this.append({ kind: 'end' });
  }

  private output(output: Output): void {
    if (!isExternal(output)) {
      this.options.onDiskRequest(output);
      return;
    }
    this.outputs.add(output);
    this.options.onOutput(output, this.outputs.sequence);
  }

  /**
   * Only where a slice or an input is over: in the middle of an instruction that makes two outputs (or
   * makes one before a timer that is due makes another) a replay could not stop between them. And once
   * for the outputs of a replay that ended between an output and its marker.
   */
  markPending(): void {
    if (this.outputs.unmarked === 0) return;
    const { sequence, hash } = this.outputs;
    this.outputs.mark();
    this.append({ kind: 'output', sequence, hash });
  }

  private append(body: EntryBody): void {
    this.options.append({ position: this.machine.position, body });
  }
}

// The replayer: runs a machine along a log. It never runs past the last entry it holds, checks every
// marker and digest on the way, and stops for good at the first difference. At the end of what it
// holds the machine stands exactly where the recorder's stood: there it can go live.

import type { Output } from '../devices/contracts.ts';
import { Fifo } from '../devices/fifo.ts';
import type { Position } from '../machine/engine.ts';
import type { Machine } from '../machine/machine.ts';
import type { MachineDigest } from './digest.ts';
import type { Entry, InputEntry } from './entry.ts';
import { type EntryTargets, inputProblem, type LocalCompletion, toDiskInput } from './inputs.ts';
import { type ExternalOutput, isExternal, OutputCounter, type OutputTap } from './outputs.ts';
import { unpackPages } from './slice-pages.ts';

/** The first difference between the log and this machine, with both sides. */
export interface Divergence {
  /** Number of the entry in the log, from 0. */
  readonly entryIndex: number;
  /** Undefined where the bytes of the log make no entry. */
  readonly entry: Entry | undefined;
  /** Where this machine stood. */
  readonly position: Position;
  readonly what: 'position' | 'output' | 'state' | 'memory' | 'replica' | 'log';
  readonly expected: string;
  readonly actual: string;
  /** The last digest in which both agreed: the cause lies behind it. */
  readonly agreed: Agreement | undefined;
}

export interface Agreement {
  readonly entryIndex: number;
  readonly position: Position;
}

export type Progress =
  | 'applied' // one entry is behind us
  | 'waiting' // the log has no more yet
  | 'disk' // the local replica has not finished a request the next entry completes
  | 'kicked' // interrupted by a kick, somewhere before the next entry
  | 'ended' // the log ended in order
  | 'diverged';

export interface ReplayerOptions {
  machine: Machine;
  tap: OutputTap;
  digest: MachineDigest | undefined;
  onOutput: (output: ExternalOutput, sequence: bigint) => void;
  /** All outputs up to here are covered by one marker. */
  onMarker?: () => void;
  onDiskRequest: (request: Extract<Output, { kind: 'disk-request' }>) => void;
  /** What the local replica has for a request; asked until it is no longer pending. */
  localCompletion: (disk: number, id: number) => LocalCompletion;
  /** What entries may name. */
  targets: EntryTargets;
  outputs?: OutputCounter;
}

export class Replayer {
  divergence: Divergence | undefined;
  /** Entries applied so far. */
  applied = 0;
  /** Counts go on here after going live. */
  readonly outputs: OutputCounter;

  private readonly machine: Machine;
  private readonly options: ReplayerOptions;
  private readonly queue = new Fifo<Entry>();
  private slicePages = new Map<number, Uint8Array>();
  private ended = false;
  private agreed: Agreement | undefined;

  constructor(options: ReplayerOptions) {
    this.options = options;
    this.machine = options.machine;
    this.outputs = options.outputs ?? new OutputCounter();
    options.tap.target = (output) => this.output(output);
  }

  push(entry: Entry): void {
    this.queue.push(entry);
  }

  /** Entries held and not applied. */
  get backlog(): number {
    return this.queue.length;
  }

  /** How far this machine may run, and how far the log is known: the lag in positions. */
  get safePosition(): Position {
    return this.queue.last?.position ?? this.machine.position;
  }

  /** Position of the next entry, if one is held. */
  get nextPosition(): Position | undefined {
    return this.queue.first?.position;
  }

  /** Runs to the next entry and applies it, or says what is in the way. */
  advance(): Progress {
    if (this.divergence !== undefined) return 'diverged';
    if (this.ended) return 'ended';
    const entry = this.queue.first;
    if (entry === undefined) return 'waiting';
    if (this.machine.position < entry.position) {
      const end = this.machine.runSlice(entry.position);
      const isKicked = end === 'kick' || end === 'open';
      if (isKicked && this.machine.position < entry.position) return 'kicked';
    }
    if (this.machine.position !== entry.position) {
      return this.diverge(entry, 'position', String(entry.position), this.whereabouts());
    }
    const progress = this.apply(entry);
    if (progress === 'applied' || progress === 'ended') {
      this.applied++;
      this.queue.shift();
    }
    return progress;
  }

  /** The log makes no sense from here on. */
  refuse(expected: string, actual: string): void {
    this.diverge(undefined, 'log', expected, actual);
  }

  private apply(entry: Entry): Progress {
    const { body } = entry;
    switch (body.kind) {
      case 'output':
        return this.checkOutput(entry, body.sequence, body.hash);
      case 'digest':
        return this.checkDigest(entry, body.state, body.memory);
      case 'slice-close':
        return this.closeSlice(entry, body.state, body.pages);
      case 'end':
        this.ended = true;
        return 'ended';
      default:
        return this.applyInput(entry, body);
    }
  }

  private applyInput(entry: Entry, body: InputEntry): Progress {
    const problem = inputProblem(body, this.machine.nowNs(), this.options.targets);
    if (problem !== undefined)
      return this.diverge(entry, 'log', 'an input this guest has', problem);
    if (body.kind !== 'disk-completion') {
      this.machine.inject(body);
      return 'applied';
    }
    const local = this.options.localCompletion(body.disk, body.id);
    const outcome = toDiskInput(body, local);
    if (outcome.kind === 'wait') return 'disk';
    if (outcome.kind === 'replica') {
      return this.diverge(entry, 'replica', 'data as on the primary', outcome.why);
    }
    this.machine.inject(outcome.input);
    return 'applied';
  }

  /** Pages are kept until the state comes: a log that ends before it leaves this machine as it was. */
  private closeSlice(entry: Entry, state: Uint8Array, part: Uint8Array): Progress {
    const problem = unpackPages(part, this.machine.ram.bytes, this.slicePages);
    if (problem !== undefined) return this.diverge(entry, 'log', 'pages of this guest', problem);
    if (state.length === 0) return 'applied';
    const pages = this.slicePages;
    this.slicePages = new Map();
    try {
      this.machine.adoptSlice(state, pages);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return this.diverge(entry, 'log', 'a state of this engine', why);
    }
    return 'applied';
  }

  private checkOutput(entry: Entry, sequence: bigint, hash: number): Progress {
    const { outputs } = this;
    if (outputs.sequence !== sequence) {
      const words = (count: bigint) => `${count} outputs so far`;
      return this.diverge(entry, 'output', words(sequence), words(outputs.sequence));
    }
    if (outputs.hash !== hash) {
      return this.diverge(entry, 'output', `hash ${hex(hash)}`, `hash ${hex(outputs.hash)}`);
    }
    outputs.mark();
    this.options.onMarker?.();
    return 'applied';
  }

  private checkDigest(entry: Entry, state: bigint, memory: bigint): Progress {
    const own = this.options.digest?.take();
    if (own === undefined) return 'applied';
    if (own.state !== state) return this.diverge(entry, 'state', hex(state), hex(own.state));
    if (own.memory !== memory) return this.diverge(entry, 'memory', hex(memory), hex(own.memory));
    this.agreed = { entryIndex: this.applied, position: entry.position };
    return 'applied';
  }

  private output(output: Output): void {
    if (!isExternal(output)) {
      this.options.onDiskRequest(output);
      return;
    }
    this.outputs.add(output);
    this.options.onOutput(output, this.outputs.sequence);
  }

  private whereabouts(): string {
    const { machine } = this;
    const why = machine.stopReason?.kind ?? (machine.isHalted ? 'idle' : 'running');
    return `${machine.position} (${why})`;
  }

  private diverge(
    entry: Entry | undefined,
    what: Divergence['what'],
    expected: string,
    actual: string,
  ): Progress {
    const { position } = this.machine;
    const { applied: entryIndex, agreed } = this;
    this.divergence ??= { entryIndex, entry, position, what, expected, actual, agreed };
    return 'diverged';
  }
}

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

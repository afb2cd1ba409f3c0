// What a vCPU thread and its owner say to each other, and the words of memory they share.
import type { ExternalOutput } from '../../lockstep/outputs.ts';
import type { DiskRequest, Input, SerialPortName, StateObject } from '../../machine/contracts.ts';
import type { StopReason } from '../../machine/machine-types.ts';
import type { GuestDevices } from '../../machine/plug.ts';
import type { EngineKind } from '../vtx-engine.ts';

/** Everything a guest is made of; together with the log it determines its whole life. */
export interface GuestConfig {
  readonly memoryBytes: number;
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array | undefined;
  readonly commandLine: string;
  readonly devices: GuestDevices;
  /** Seconds since 1970 at virtual time zero. */
  readonly epochSeconds: number;
  readonly entropySeed: Uint8Array;
  /** Nanoseconds an instruction until the first clock step, 32.32. */
  readonly multiplier: bigint;
  /** The software engine when left out. */
  readonly engine?: EngineKind;
}

/** How the log leaves the thread; undefined: nobody wants it (an unprotected guest). */
export interface LogConfig {
  /** For the head of the log. */
  readonly identity: StateObject;
  /** Virtual time between digests; undefined: none. */
  readonly digestIntervalNs: bigint | undefined;
}

/** Words of the control block, an Int32Array both sides map. */
export const CONTROL = {
  /** Grows with every message to the thread; the thread sleeps on it. */
  wake: 0,
  /** Frames the thread has taken, modulo 2^32. */
  framesTaken: 1,
  /** Batches the owner has taken, modulo 2^32. */
  batchesTaken: 2,
  /** Outputs that were dropped because the owner takes no batches. */
  outputsDropped: 3,
} as const;
export const CONTROL_WORDS = 4;

/**
 * Outside, numbers of disk requests are unique across reboots: life * this + number in that life. A
 * completion for an earlier life is dropped; its guest is gone.
 */
export const LIFE_REQUESTS = 2 ** 32;

export interface WorkerStart {
  readonly config: GuestConfig;
  readonly log: LogConfig | undefined;
  /** After a reset the guest is started again instead of ending. */
  readonly rebootsOnReset: boolean;
  /** Beyond so many batches under way the owner is not listening, and what would wait is dropped. */
  readonly batchesWaitingMax: number;
  readonly control: Int32Array;
}

export type ToWorker =
  | { readonly kind: 'inputs'; readonly inputs: readonly Input[] }
  | { readonly kind: 'stop' };

/** An output with its number; serial bytes of one slice travel together under the last one's. */
export type OutputItem =
  | (Exclude<ExternalOutput, { kind: 'serial-tx' }> & { readonly sequence: bigint })
  | {
      readonly kind: 'serial-tx';
      readonly port: SerialPortName;
      readonly bytes: Uint8Array;
      readonly sequence: bigint;
    };

/** What one slice left, in order of origin within each list. */
export interface Batch {
  readonly outputs: readonly OutputItem[];
  readonly requests: readonly DiskRequest[];
  /** Bytes of serial input the guest took, by port. */
  readonly serialTaken: Readonly<Partial<Record<SerialPortName, number>>>;
  /** Log file bytes; every output above is covered by them. */
  readonly log: Uint8Array | undefined;
}

export type EndReason =
  | StopReason
  /** The owner asked for it. */
  | { readonly kind: 'stopped' };

export type FromWorker =
  /** The guest is loaded and starts, for the first time or again. */
  | { readonly kind: 'started'; readonly life: number; readonly kickToken: bigint }
  | { readonly kind: 'batch'; readonly batch: Batch }
  /** Nothing could be started: bad kernel, too little memory. */
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
  | { readonly kind: 'ended'; readonly reason: EndReason; readonly icount: bigint };

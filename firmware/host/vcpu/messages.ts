// What a vCPU thread and its owner say to each other, and the words of memory they share.

import type { DiskRequest, Input, SerialPortName, StateObject } from '../../devices/contracts.ts';
import type { ExternalOutput } from '../../lockstep/outputs.ts';
import type { Divergence } from '../../lockstep/replayer.ts';
import type { StopReason } from '../../machine/machine-types.ts';
import type { GuestDevices } from '../../machine/plug.ts';
import type { EngineKind } from '../engine-kinds.ts';
import type { SerialBytes } from './serial-flow.ts';

/** Everything a guest is made of; together with its birth and the log it determines its whole life. */
export interface GuestSetup {
  readonly memoryBytes: number;
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array | undefined;
  readonly commandLine: string;
  readonly devices: GuestDevices;
  /** The software engine when left out. */
  readonly engine?: EngineKind;
  /** It does not translate: no part of what the guest is. */
  readonly interprets?: boolean | undefined;
}

export interface GuestConfig extends GuestSetup {
  /** Seconds since 1970 at virtual time zero. */
  readonly epochSeconds: number;
  readonly entropySeed: Uint8Array;
  /** Nanoseconds a position until the first clock step, 32.32. */
  readonly multiplier: bigint;
}

/** How the log leaves the thread; undefined: nobody wants it (an unprotected guest). */
export type LogConfig =
  /** A log file, from power-on to the end (lockstep/log-file.ts). */
  | {
      readonly kind: 'file';
      /** For the head of the log. */
      readonly identity: StateObject;
      /** Virtual time between digests; undefined: none. */
      readonly digestIntervalNs: bigint | undefined;
    }
  /** The stream for a twin (lockstep/STREAM.md): started and stopped while the guest runs. */
  | { readonly kind: 'stream'; readonly digestIntervalNs: bigint };

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
  /** Inputs that came while following, and were not of the local disks. */
  inputsDropped: 4,
  /** Pieces of a log that came while nobody was following. */
  logDropped: 5,
} as const;
export const CONTROL_WORDS = 6;

/**
 * Outside, numbers of disk requests are unique across reboots: life * this + number in that life. A
 * completion for an earlier life is dropped; its guest is gone. Both boards count lives alike.
 */
export const LIFE_REQUESTS = 2 ** 32;

/** Where a follower begins. */
export interface Adoption {
  /** Of guest memory the caller has filled; the thread maps it by itself. */
  readonly memoryToken: number;
  /** Of that memory's digest, where the caller has made one of all of it; undefined: the thread makes it. */
  readonly digestToken?: number | undefined;
  /** `state` of the other board's checkpoint(). */
  readonly checkpoint: Uint8Array;
}

export interface WorkerStart {
  readonly config: GuestConfig;
  readonly log: LogConfig | undefined;
  /** What starts the guest over instead of ending it. */
  readonly restartsOn: readonly StopReason['kind'][];
  /** Beyond so many batches under way the owner is not listening, and what would wait is dropped. */
  readonly batchesWaitingMax: number;
  readonly control: Int32Array;
  readonly facts: SharedArrayBuffer;
  /** Follow from here instead of switching the guest on. */
  readonly adoption: Adoption | undefined;
}

/** A machine that stands still, as bytes for adopt(). */
export interface LiveCheckpoint {
  readonly state: Uint8Array;
  /** RAM pages written since the last takeDirty(), one bit a page of 4 KiB. */
  readonly dirty: Uint8Array;
  readonly position: bigint;
  readonly virtualNs: bigint;
}

export interface LiveFacts {
  /** Where the log ended and this board goes on. */
  readonly position: bigint;
  /** Entries that were still to be applied. */
  readonly entries: number;
  readonly tookMs: number;
  /** How far the guest's clock is from its line; null: the line was not known, and begins here. */
  readonly clockErrorNs: bigint | null;
}

/** Questions to the thread, each answered once, with the type of its answer. */
export interface Answers {
  pause: undefined;
  resume: undefined;
  'start-log': undefined;
  'stop-log': undefined;
  'take-dirty': Uint8Array;
  checkpoint: LiveCheckpoint;
  'go-live': LiveFacts;
  follow: undefined;
}

export type Ask =
  | { readonly kind: 'pause' | 'start-log' | 'stop-log' | 'take-dirty' | 'checkpoint' | 'follow' }
  | { readonly kind: 'resume'; readonly log: boolean }
  | {
      readonly kind: 'go-live';
      readonly log: boolean;
      /** This board's clock minus that of the board whose log was followed; undefined: not known. */
      readonly peerClockNs: bigint | undefined;
    };

export type ToWorker =
  | { readonly kind: 'inputs'; readonly inputs: readonly Input[] }
  | { readonly kind: 'push'; readonly log: Uint8Array }
  | { readonly kind: 'begin-stream' }
  | { readonly kind: 'throttle'; readonly share: number }
  | { readonly kind: 'ask'; readonly id: number; readonly ask: Ask }
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
  readonly serialTaken: SerialBytes;
  /** Pieces of the log; every output above is covered by them and what came before. */
  readonly log: readonly Uint8Array[];
  /** Real time at which the slice ended. */
  readonly endNs: bigint;
}

export type EndReason =
  | StopReason
  /** The owner asked for it. */
  | { readonly kind: 'stopped' };

/** Why a question could not be answered. */
export interface Refusal {
  readonly code: VcpuErrorCode;
  readonly message: string;
}

export type VcpuErrorCode =
  | 'E_VCPU_ROLE' // leading where following was needed, or the other way round
  | 'E_VCPU_LOG' // this guest keeps no stream
  | 'E_VCPU_DIVERGED' // this board's machine is not the primary's any more
  | 'E_VCPU_ENDED'; // the thread is gone

export type FromWorker =
  /** The guest is loaded and starts, for the first time or again; or it was adopted. */
  | {
      readonly kind: 'started';
      readonly life: number;
      readonly kickToken: bigint;
      readonly memoryToken: number;
      readonly digestToken: number | undefined;
    }
  | { readonly kind: 'batch'; readonly batch: Batch }
  | { readonly kind: 'answer'; readonly id: number; readonly value: Answers[keyof Answers] }
  | { readonly kind: 'refused'; readonly id: number; readonly refusal: Refusal }
  | { readonly kind: 'diverged'; readonly divergence: Divergence }
  | { readonly kind: 'progress' }
  /** Nothing could be started: bad kernel, too little memory, an altered checkpoint. */
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
  | { readonly kind: 'ended'; readonly reason: EndReason; readonly position: bigint };

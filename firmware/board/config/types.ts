// What a board is configured with, checked and complete: paths absolute, defaults filled in. How it
// is written in the file: docs/CONFIG.md.

import type { Limits } from '../../../watchdog/limits.ts';
import type { Side } from '../../../watchdog/path-frame.ts';
import type { EngineChoice } from '../../host/engine-kinds.ts';
import type { DiskSpec, SerialLineSpec } from '../../host/guest-notation.ts';
import type { StormLimits } from '../../host/net/storm-guard.ts';
import type { ScadaConfig } from './scada-types.ts';

export interface BoardConfig {
  /** For people: on the console, in events. */
  readonly name: string;
  readonly side: Side;
  readonly stateDir: string;
  readonly pairingKeyFile: string;
  /** Events as JSON lines go here too; null: to standard output alone. */
  readonly eventsFile: string | null;
  /** Whose members may use the control socket. Null: that of CONTROL_GROUP, where there is one. */
  readonly controlGroup: string | null;
  /** Whose members may use the socket that only reads. Null: that of READ_GROUP, where there is one. */
  readonly readGroup: string | null;
  readonly syncAllowed: boolean;
  readonly log: LogConfig;
  /** Null: this pair has no serial line. */
  readonly serial: { readonly port: string; readonly baud: number } | null;
  readonly front: FrontConfig;
  readonly watchdog: WatchdogConfig;
  readonly guest: GuestPlan;
  readonly sync: {
    /** MiB a second that sync-up reads and sends at most; 0: as fast as it goes. */
    readonly rateMibS: number;
    /** MiB a second of the comparison of the disks while in step; 0: never. */
    readonly checkMibS: number;
  };
  readonly limits: Limits;
  /** Null: nothing is told to SCADA. */
  readonly mqtt: ScadaConfig | null;
}

export interface LogConfig {
  /** Cards with a cable to the other board, the better first. */
  readonly interfaces: readonly string[];
  /** Where no cable passes, the log goes over the front LAN; null: never. */
  readonly overFront: { readonly rateMbit: number } | null;
}

export interface FrontConfig {
  readonly interface: string;
  readonly bind: string;
  readonly peer: string;
  readonly port: number;
  /** The witness; null: this pair has none (ARBITER.md, "Without a witness"). */
  readonly gateway: string | null;
}

export interface WatchdogConfig {
  readonly kind: 'device' | 'stand-in' | 'none';
  readonly device: string;
}

/** The protected guest. Everything but `tap`, `disks.path`, `com1` and `com2` is equal on both boards. */
export interface GuestPlan {
  readonly kernel: string;
  readonly initrd: string | undefined;
  readonly append: string;
  readonly memoryBytes: number;
  readonly engine: EngineChoice;
  readonly nics: readonly GuestNic[];
  /** @default STORM_LIMITS */
  readonly storm?: StormLimits;
  readonly disks: readonly DiskSpec[];
  readonly com1: GuestLine;
  readonly com2: GuestLine;
  readonly onPowerOff: 'stop' | 'restart';
}

export interface GuestNic {
  readonly mac: Uint8Array;
  /** The host's interface; it exists already. */
  readonly tap: string;
}

/** A board has no terminal. */
export type GuestLine = SerialLineSpec<'none' | 'pty'>;

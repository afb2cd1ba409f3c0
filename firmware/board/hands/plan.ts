// The guest as the hands need it said: what the configuration's GuestPlan gives.
import type { DiskSpec } from '../../host/disk-spec.ts';
import type { EngineChoice } from '../../host/engines.ts';
import type { SerialSpec } from '../../host/world.ts';

export interface HandsPlan {
  readonly kernel: string;
  readonly initrd: string | undefined;
  readonly append: string;
  readonly memoryBytes: number;
  readonly engine: EngineChoice;
  readonly nics: readonly { readonly mac: Uint8Array; readonly tap: string }[];
  readonly disks: readonly DiskSpec[];
  readonly com1: SerialSpec;
  readonly com2: SerialSpec;
  readonly onPowerOff: 'stop' | 'restart';
}

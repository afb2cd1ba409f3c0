// A native engine as the machine's `Engine`, with its exit facts by name.

import type { SoftEngine as Native } from '../../native/index.ts';
import type {
  AccessBytes,
  CpuSetup,
  Engine,
  ExitReason,
  KickToken,
  Position,
} from '../machine/engine.ts';
import { type EngineKind, statesFor } from './engine-kinds.ts';

// Places in the native exit record.
const EXIT = { bytes: 0, address: 1, valueLow: 2, valueHigh: 3 } as const;

export class NativeEngine implements Engine {
  readonly kind: EngineKind;
  readonly statesFrom: readonly EngineKind[];
  readonly kickToken: KickToken;
  private readonly native: Native;
  private readonly exit: Float64Array;

  constructor(kind: EngineKind, native: Native) {
    this.kind = kind;
    this.statesFrom = statesFor(kind);
    this.native = native;
    this.exit = this.native.exit;
    this.kickToken = this.native.kickToken;
  }

  run(limit: Position): ExitReason {
    return this.native.run(limit) as ExitReason;
  }
  get exitAddress(): number {
    return this.exit[EXIT.address]!;
  }
  get exitBytes(): number {
    return this.exit[EXIT.bytes] as AccessBytes;
  }
  get exitValueLow(): number {
    return this.exit[EXIT.valueLow]!;
  }
  get exitValueHigh(): number {
    return this.exit[EXIT.valueHigh]!;
  }
  completeRead(valueLow: number, valueHigh: number): void {
    this.native.completeRead(valueLow, valueHigh);
  }
  setInterruptLine(raised: boolean): void {
    this.native.setInterruptLine(raised);
  }
  canInterrupt(): boolean {
    return this.native.canInterrupt();
  }
  interrupt(vector: number): void {
    this.native.interrupt(vector);
  }
  nmi(): void {
    this.native.nmi();
  }
  position(): Position {
    return this.native.icount();
  }
  isHalted(): boolean {
    return this.native.isHalted();
  }
  setTsc(base: bigint, multiplier: bigint): void {
    this.native.setTsc(base, multiplier);
  }
  seedEntropy(seed: Uint8Array): void {
    this.native.seedEntropy(seed);
  }
  reset(): void {
    this.native.reset();
  }
  setup(cpu: CpuSetup): void {
    this.native.setup(cpu);
  }
  getState(): Uint8Array {
    return this.native.getState();
  }
  setState(state: Uint8Array): void {
    this.native.setState(state);
  }
  memoryWritten(address: number, bytes: number): void {
    this.native.memoryWritten(address, bytes);
  }
  takeDirtyPages(bitmap: Uint8Array): void {
    this.native.takeDirtyPages(bitmap);
  }
  close(): void {
    this.native.close();
  }
}

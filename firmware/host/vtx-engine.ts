// The engine over KVM as the machine's `Engine`: like every native one, and slices that end between
// positions.
import type { VtxEngine as NativeVtx } from '../../native/index.ts';
import type { ExitReason, Position } from '../machine/engine.ts';
import type { EngineKind } from './engine-kinds.ts';
import { NativeEngine } from './native-engine.ts';

/** Throws the native Error with KVM's words where it gives up. */
export class VtxEngine extends NativeEngine {
  private readonly vtx: NativeVtx;

  constructor(kind: EngineKind, native: NativeVtx) {
    super(kind, native);
    this.vtx = native;
  }

  runNear(limit: Position): ExitReason {
    return this.vtx.runNear(limit) as ExitReason;
  }
  get isBetween(): boolean {
    return this.vtx.isBetween();
  }
  closeSlice(): void {
    this.vtx.closeSlice();
  }
}

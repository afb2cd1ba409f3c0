// The engine over KVM as the machine's `Engine`: like every native one, and slices that end between
// positions.
import { type GuestMemory, VtxEngine as NativeVtx, type VtxPositions } from '../../native/index.ts';
import type { EngineKind } from './engine-kinds.ts';
import { NativeEngine } from './native-engine.ts';

/** Throws the native Error with KVM's words where it gives up. */
export class VtxEngine extends NativeEngine {
  private readonly vtx: NativeVtx;

  constructor(memory: GuestMemory, kind: EngineKind, positions: VtxPositions) {
    const native = new NativeVtx(memory, positions);
    super(kind, native);
    this.vtx = native;
  }

  get isBetween(): boolean {
    return this.vtx.isBetween();
  }
  closeSlice(): void {
    this.vtx.closeSlice();
  }
}

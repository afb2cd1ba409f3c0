// The engine the tests of its contract run on: the software engine, or with TWINSTEP_ENGINE=vtx-steps the
// one over KVM (test/vtx/conformance.test.ts does that). Hardware takes some ten thousand steps a
// second, so there it is shorter lives and fewer rounds of the same tests.
import { type GuestMemory, SoftEngine, VtxEngine } from '../../native/index.ts';

export type MakeEngine = (memory: GuestMemory) => SoftEngine;
export const softEngine: MakeEngine = (memory) => new SoftEngine(memory);
export const vtxEngine: MakeEngine = (memory) => new VtxEngine(memory, 'steps');

const name = process.env.TWINSTEP_ENGINE ?? 'soft';
const isHardware = name === 'vtx-steps';
if (!isHardware && name !== 'soft') throw new Error(`TWINSTEP_ENGINE=${name}: soft or vtx-steps`);

const patience = Number(process.env.TWINSTEP_PATIENCE ?? '1');

export const on = {
  isHardware,
  make: isHardware ? vtxEngine : softEngine,
  /** How far into a guest's life tests go. */
  horizon: isHardware ? 4_000n : 1n << 60n,
  /** Of what the software engine does `usual` times. */
  times: (usual: number) => (isHardware ? Math.max(1, Math.floor(usual / 10)) : usual),
  timeoutMs: (isHardware ? 120_000 : 60_000) * patience,
} as const;

// The engine the tests of its contract run on: the software engine as it is used, or by TWINSTEP_ENGINE
// another one: soft-interpreter, soft-translated (host code from the first instruction on;
// test/softcpu/translate.test.ts runs both), vtx-steps (test/vtx/conformance.test.ts). Hardware takes some
// ten thousand steps a second, so there it is shorter lives and fewer rounds of the same tests.
import { type GuestMemory, SoftEngine, VtxEngine } from '../../native/index.ts';

export type MakeEngine = (memory: GuestMemory) => SoftEngine;
export const softEngine: MakeEngine = (memory) => new SoftEngine(memory);
export const interpreter: MakeEngine = (memory) => new SoftEngine(memory, { translate: false });
export const translated: MakeEngine = (memory) => new SoftEngine(memory, { warm: 0 });
export const vtxEngine: MakeEngine = (memory) => new VtxEngine(memory, 'steps');

const name = process.env.TWINSTEP_ENGINE ?? 'soft';
const MAKE: Readonly<Record<string, MakeEngine>> = {
  soft: softEngine,
  'soft-interpreter': interpreter,
  'soft-translated': translated,
  'vtx-steps': vtxEngine,
};
const make = MAKE[name];
if (make === undefined) throw new Error(`TWINSTEP_ENGINE=${name}: ${Object.keys(MAKE).join(', ')}`);
const isHardware = name === 'vtx-steps';

const patience = Number(process.env.TWINSTEP_PATIENCE ?? '1');

export const on = {
  isHardware,
  make,
  /** How far into a guest's life tests go. */
  horizon: isHardware ? 4_000n : 1n << 60n,
  /** Of what the software engine does `usual` times. */
  times: (usual: number) => (isHardware ? Math.max(1, Math.floor(usual / 10)) : usual),
  timeoutMs: (isHardware ? 120_000 : 60_000) * patience,
} as const;

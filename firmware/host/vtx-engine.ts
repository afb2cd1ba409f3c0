// The engine over KVM as the machine's `Engine`, and the choice between the two engines.
//
// `auto` takes hardware only where it is exact: where the host counts branches, its KVM is a whole one
// that lets us tell the guest the time, and this processor just landed where it should, every time.
// Exit-aligned positions are for those who ask for them by name.

import { type GuestMemory, VtxEngine as NativeVtx, probeKvm } from '../../native/index.ts';
import type { Engine } from '../machine/engine.ts';
import { missedLanding } from './commissioning.ts';
import type { EngineChoice, EngineKind } from './engines.ts';
import { HostError } from './errors.ts';
import { NativeEngine, SoftEngine } from './soft-engine.ts';

type VtxKind = Exclude<EngineKind, 'soft'>;

const POSITIONS = {
  'vtx-steps': 'steps',
  'vtx-exits': 'exits',
  'vtx-branches': 'branches',
} as const;

/** Throws the native Error with KVM's words where it gives up. */
export class VtxEngine extends NativeEngine {
  readonly kind: VtxKind;
  readonly #vtx: NativeVtx;

  constructor(memory: GuestMemory, kind: VtxKind) {
    const native = new NativeVtx(memory, POSITIONS[kind]);
    super(native);
    this.#vtx = native;
    this.kind = kind;
  }

  get isBetween(): boolean {
    return this.#vtx.isBetween();
  }
  closeSlice(): void {
    this.#vtx.closeSlice();
  }
}

export interface Chosen {
  readonly kind: EngineKind;
  readonly why: string;
}

/** The engine a choice stands for on this host. Throws HostError where it cannot be had. */
export function chooseEngine(
  choice: EngineChoice,
  probe: typeof probeKvm = probeKvm,
  tryLanding: () => string | undefined = () =>
    missedLanding((memory) => new NativeVtx(memory, 'branches')),
): Chosen {
  if (choice === 'soft') return { kind: 'soft', why: 'asked for' };
  const found = probe(choice === 'auto');
  const words = found.words.join('; ');
  const isExact = found.isUsable && !found.isLimited && found.countsBranches && found.tellsTsc;
  if (choice === 'auto') {
    if (!isExact) return { kind: 'soft', why: words };
    const missed = tryLanding();
    if (missed === undefined) return { kind: 'vtx-branches', why: words };
    return { kind: 'soft', why: `${missed}; ${words}` };
  }
  if (!found.isUsable) throw new HostError('E_ENGINE', `no hardware engine here: ${words}`);
  if (choice === 'vtx-steps' || choice === 'vtx-exits') return { kind: choice, why: words };
  if (found.countsBranches) {
    const missed = tryLanding();
    if (missed === undefined) return { kind: 'vtx-branches', why: words };
    throw new HostError('E_ENGINE', `this processor misses where it should land: ${missed}`);
  }
  throw new HostError(
    'E_ENGINE',
    `the hardware engine is not exact here (${words}); --engine vtx-exits takes positions at exits`,
  );
}

export function createEngine(memory: GuestMemory, kind: EngineKind): Engine {
  return kind === 'soft' ? new SoftEngine(memory) : new VtxEngine(memory, kind);
}

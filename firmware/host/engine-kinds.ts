// The engines by name, and what each can do: who cares asks for a capability, not for a name.
import type { PositionUnit } from '../lockstep/listing.ts';

export interface EngineTraits {
  /** What a person asks for it by. */
  readonly choice: string;
  readonly words: string;
  /** What its positions count. */
  readonly unit: PositionUnit;
  /** A guest saved on one engine goes on on another one with the same form of state. */
  readonly stateForm: string;
  /** Needs KVM. */
  readonly isHardware: boolean;
  /** Whether hosts must prove, before each use, that it lands where it should. */
  readonly mustLand: boolean;
  /**
   * A long run may have no position in it. It is kicked now and then, and where it stands becomes one,
   * with the pages written since the last (docs/decisions/0051).
   */
  readonly closesSlices: boolean;
}

const INSTRUCTIONS: PositionUnit = { one: 'an instruction', many: 'instructions' };
/** twinstep::soft::State; the hardware engines keep it, too. */
const STATE = { stateForm: 'soft' } as const;

/** The names are in logs and states, and boards pair by them. */
export const ENGINES = {
  soft: {
    choice: 'soft',
    words: 'software, exact to the instruction',
    ...{ unit: INSTRUCTIONS, ...STATE },
    ...{ isHardware: false, mustLand: false, closesSlices: false },
  },
  'vtx-branches': {
    choice: 'vtx',
    words: 'hardware, exact',
    unit: { one: 'a branch', many: 'branches' },
    ...{ ...STATE, isHardware: true, mustLand: true, closesSlices: false },
  },
  'vtx-exits': {
    choice: 'vtx-exits',
    words: 'hardware, positions at exits',
    unit: { one: 'an exit', many: 'exits' },
    ...{ ...STATE, isHardware: true, mustLand: false, closesSlices: true },
  },
  // For tests: it is very slow.
  'vtx-steps': {
    choice: 'vtx-steps',
    words: 'hardware, step by step',
    ...{ unit: INSTRUCTIONS, ...STATE },
    ...{ isHardware: true, mustLand: false, closesSlices: false },
  },
} as const satisfies Readonly<Record<string, EngineTraits>>;

/** What a log says of its engine; positions of one mean nothing to the other. */
export type EngineKind = keyof typeof ENGINES;
export const ENGINE_KINDS = Object.keys(ENGINES) as readonly EngineKind[];
/** Runs everywhere. */
export const DEFAULT_ENGINE: EngineKind = 'soft';

/**
 * The software engine without its translator: slower, and the same to the guest, its log and its peer. For
 * tests, and for who wants to know what the translator is worth.
 */
export const INTERPRETER = 'soft-interpreter';

/** `auto`: hardware where it is exact, else software. */
export type EngineChoice = 'auto' | typeof INTERPRETER | (typeof ENGINES)[EngineKind]['choice'];
export const ENGINE_CHOICES: readonly EngineChoice[] = [
  'auto',
  ...ENGINE_KINDS.map((kind) => ENGINES[kind].choice),
  INTERPRETER,
];

export function traitsOf(kind: EngineKind): EngineTraits {
  return ENGINES[kind];
}

/** Undefined: an engine this firmware does not know. */
export function engineKind(name: unknown): EngineKind | undefined {
  return ENGINE_KINDS.find((kind) => kind === name);
}

/** Of a log, which may be of an engine this firmware does not know. */
export function positionUnitOf(engine: unknown): PositionUnit {
  const known = engineKind(engine);
  return known === undefined ? { one: 'a position', many: 'positions' } : ENGINES[known].unit;
}

/** The engines whose states this one goes on from. */
export function statesFor(kind: EngineKind): readonly EngineKind[] {
  const { stateForm } = traitsOf(kind);
  return ENGINE_KINDS.filter((other) => traitsOf(other).stateForm === stateForm);
}

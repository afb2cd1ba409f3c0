// The engines by name: what a person may ask for, and what a log is of.
import type { PositionUnit } from '../lockstep/listing.ts';

/** `auto`: hardware where it is exact, else software. `vtx-steps` is for tests: it is very slow. */
export const ENGINE_CHOICES = ['auto', 'soft', 'vtx', 'vtx-exits', 'vtx-steps'] as const;
export type EngineChoice = (typeof ENGINE_CHOICES)[number];

/** What a log says of its engine; positions of one mean nothing to the other. */
export const ENGINE_KINDS = ['soft', 'vtx-steps', 'vtx-exits', 'vtx-branches'] as const;
export type EngineKind = (typeof ENGINE_KINDS)[number];

const INSTRUCTIONS: PositionUnit = { one: 'an instruction', many: 'instructions' };

/** What an engine's positions count. */
export const POSITION_UNITS: Readonly<Record<EngineKind, PositionUnit>> = {
  soft: INSTRUCTIONS,
  'vtx-steps': INSTRUCTIONS,
  'vtx-exits': { one: 'an exit', many: 'exits' },
  'vtx-branches': { one: 'a branch', many: 'branches' },
};

/** Of a log, which may be of an engine this firmware does not know. */
export function positionUnitOf(engine: unknown): PositionUnit {
  const known = ENGINE_KINDS.find((kind) => kind === engine);
  return known === undefined ? { one: 'a position', many: 'positions' } : POSITION_UNITS[known];
}

export const ENGINE_WORDS: Readonly<Record<EngineKind, string>> = {
  soft: 'software, exact to the instruction',
  'vtx-steps': 'hardware, step by step',
  'vtx-exits': 'hardware, positions at exits',
  'vtx-branches': 'hardware, exact',
};

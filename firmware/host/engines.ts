// The engines by name: what a person may ask for, and what a log is of.

/** `auto`: hardware where it is exact, else software. `vtx-steps` is for tests: it is very slow. */
export const ENGINE_CHOICES = ['auto', 'soft', 'vtx', 'vtx-exits', 'vtx-steps'] as const;
export type EngineChoice = (typeof ENGINE_CHOICES)[number];

/** What a log says of its engine; positions of one mean nothing to the other. */
export const ENGINE_KINDS = ['soft', 'vtx-steps', 'vtx-exits', 'vtx-branches'] as const;
export type EngineKind = (typeof ENGINE_KINDS)[number];

/** An engine's position, as people count it. */
export const POSITION_WORDS: Readonly<Record<EngineKind, string>> = {
  soft: 'instructions',
  'vtx-steps': 'instructions',
  'vtx-exits': 'exits',
  'vtx-branches': 'branches',
};

export const ENGINE_WORDS: Readonly<Record<EngineKind, string>> = {
  soft: 'software, exact to the instruction',
  'vtx-steps': 'hardware, step by step',
  'vtx-exits': 'hardware, positions at exits',
  'vtx-branches': 'hardware, exact',
};

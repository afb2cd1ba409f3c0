// A disk as people name it, in a configuration and on a command line: `FILE`, `FILE,ro`, `FILE,raw`, `FILE,ro,raw`. Pure.

export interface DiskSpec {
  readonly path: string;
  readonly isReadOnly: boolean;
  /** Whatever its first bytes look like. */
  readonly isRaw?: true;
}

export function diskSpec(text: string): DiskSpec {
  const [, path = '', flags = ''] = /^(.*?)((?:,ro|,raw)*)$/s.exec(text) ?? [];
  const isRaw = flags.includes(',raw') ? ({ isRaw: true } as const) : {};
  return { path, isReadOnly: flags.includes(',ro'), ...isRaw };
}

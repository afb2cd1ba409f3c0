// What a Linux needs of this host to be the same on two boards of the hardware engine, each looked at by
// itself: the time told by us, page tables whose A bits no processor sets behind our back and no KVM
// leaves to what it happens to remember, and positions. A stock KVM has the last at most (native/vtx/README.md has what was measured).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KvmProbe } from '../../native/index.ts';

export interface Need {
  /** Near words for a heading. */
  readonly area: 'guest time' | 'page tables' | 'positions';
  readonly isMet: boolean;
  readonly found: string;
  /** What to do; empty when it is met. */
  readonly todo: string;
}

const PATCHED =
  'load kvm modules with our patches (buildroot/patches/linux); the appliance has them';

/** By which parameter each module is told to keep page tables of its own, without nested paging. */
const NESTED_PAGING = [
  { module: 'kvm_intel', parameter: 'ept' },
  { module: 'kvm_amd', parameter: 'npt' },
] as const;

/** The kernel's own words for a boolean parameter; npt was a number once. */
const OFF: readonly string[] = ['N', '0'];
const ON: readonly string[] = ['Y', '1'];

export function linuxNeeds(
  {
    tellsTsc,
    tablesFollow,
    countsBranches,
  }: Pick<KvmProbe, 'tellsTsc' | 'tablesFollow' | 'countsBranches'>,
  sys = '/sys',
): readonly Need[] {
  return [
    need(
      'guest time',
      tellsTsc,
      tellsTsc ? 'RDTSC exits' : 'RDTSC tells the host’s time, whatever CPUID says',
      PATCHED,
    ),
    pageTables(sys, tablesFollow),
    need(
      'positions',
      countsBranches,
      countsBranches ? 'branches are counted' : 'no branches are counted',
      '--engine vtx-exits takes positions at exits; a processor whose counter guests may use lands anywhere',
    ),
  ];
}

/** In words, without what is met; empty: exact. */
export function missingIn(needs: readonly Need[]): string {
  return needs.flatMap(({ isMet, found }) => (isMet ? [] : [found])).join('; ');
}

/** Read back from the module that is loaded: what a file says it should be loaded with proves nothing. */
function pageTables(sys: string, tablesFollow: boolean): Need {
  const set = NESTED_PAGING.flatMap(({ module, parameter }) => {
    const value = readText(join(sys, 'module', module, 'parameters', parameter));
    return value === undefined
      ? []
      : [{ name: `${module} ${parameter}=${value}`, module, parameter, value }];
  });
  const names = set.map(({ name }) => name).join(', ');
  const nested = set.find(({ value }) => !OFF.includes(value));
  if (set.length === 0)
    return need(
      'page tables',
      false,
      'no KVM module tells how it keeps page tables',
      'load kvm_intel with ept=0, or kvm_amd with npt=0, as modules',
    );
  if (nested === undefined) {
    const found = `shadow page tables (${names})`;
    return tablesFollow
      ? need('page tables', true, `${found} that follow the guest’s`, '')
      : need('page tables', false, `${found} that may be behind the guest’s`, PATCHED);
  }
  const { module, parameter, value } = nested;
  return need(
    'page tables',
    false,
    ON.includes(value)
      ? `nested paging (${names}): A bits follow what the processor still remembers`
      : `page tables of an unknown kind (${names})`,
    `load the module anew: modprobe -r ${module}; modprobe ${module} ${parameter}=0`,
  );
}

function need(area: Need['area'], isMet: boolean, found: string, todo: string): Need {
  return { area, isMet, found, todo: isMet ? '' : todo };
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}

// The aging guest as tests of whatever KVM there is (aging.ts): what must hold where page tables follow, and what is
// found, and healed, where they do not. Only where KVM keeps tables of its own.
import { readFileSync } from 'node:fs';
import type { KvmProbe } from '../../native/index.ts';
import type { SeededRandom } from '../harness/index.ts';
import {
  type Aged,
  agesOverSyncUp,
  agesOverTakeovers,
  agesUnder,
  toldBy,
  toldTwice,
} from './aging.ts';
import { engineOf } from './plant.ts';
import { PROVOCATIONS, type Provocation, refused } from './provoke.ts';

export interface AgingTest {
  readonly name: string;
  readonly body: (rounds: number, random: SeededRandom) => string;
}

const make = engineOf('vtx-exits');

/** KVM has page tables of its own: what a module says, or that nothing says otherwise. */
export function shadowsTables(): boolean {
  return !['/sys/module/kvm_intel/parameters/ept', '/sys/module/kvm_amd/parameters/npt'].some(
    (path) => ['Y', '1'].includes(readText(path)),
  );
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

export function agingTests({ tablesFollow }: KvmProbe): AgingTest[] {
  if (!shadowsTables()) return [];
  const kinds = Object.keys(PROVOCATIONS) as Provocation[];
  if (!tablesFollow)
    return [
      { name: 'aging: found and healed, where tables do not follow', body: foundAndHealed },
      { name: 'aging: what differs under what', body: (n, random) => survey(kinds, n, random) },
    ];
  return [
    { name: 'aging: it tells what it tells on the software engine', body: (n) => toldAlike(n) },
    { name: 'aging: a machine that is put back tells the same again', body: (n) => putBack(n) },
    {
      name: 'aging: recorded and replayed',
      body: (n, random) => inStep(agesUnder(make, random, undefined, n)),
    },
    ...kinds.map((kind) => ({
      name: `aging: the same under ${kind} on one board`,
      body: (n: number, random: SeededRandom) => {
        const words = inStep(agesUnder(make, random, kind, n));
        const why = refused();
        return why === '' ? words : `${words}, refused: ${why}`;
      },
    })),
    {
      name: 'aging: over a sync-up',
      body: (n, random) => inStep(agesOverSyncUp(make, random, n)),
    },
    {
      name: 'aging: over takeovers, there and back',
      body: (n, random) => inStep(agesOverTakeovers(make, random, n / 2, 6)),
    },
  ];
}

function toldAlike(rounds: number): string {
  const wanted = toldBy(engineOf('soft'), rounds);
  const told = toldBy(make, rounds);
  if (told !== wanted) throw new Error(`it tells ${told},\nnot ${wanted}`);
  return `${told.length} times`;
}

function putBack(rounds: number): string {
  const [before, after] = toldTwice(make, rounds);
  if (after !== before) throw new Error(`it tells ${after},\nnot ${before}`);
  return `${before.length} times`;
}

function inStep({ divergence, entries, provoked }: Aged): string {
  if (divergence !== undefined) throw new Error(`diverged: ${divergence}`);
  return `${entries} entries, digests equal${provoked === 0 ? '' : `, ${provoked} times`}`;
}

/** The digest finds it, and a sync-up mends it; and how long the guest was on its own until then. */
function foundAndHealed(rounds: number, random: SeededRandom): string {
  for (let time = 0; time < 10; time++) {
    const found = agesOverSyncUp(make, random, rounds);
    if (!found.healed) throw new Error('a sync-up leaves a difference');
    if (found.divergence === undefined) continue;
    return `${words(found)}; equal after another sync-up`;
  }
  throw new Error('ten sync-ups, and nothing differed: does it drop what it should not?');
}

function survey(kinds: readonly Provocation[], rounds: number, random: SeededRandom): string {
  const all = kinds.map((kind) => `${kind}: ${words(agesUnder(make, random, kind, rounds))}`);
  return all.join('; ');
}

function words({ divergence, unprotectedUs, unprotectedPositions }: Aged): string {
  if (divergence === undefined) return 'equal';
  return `${divergence}, ${unprotectedPositions} positions and ${unprotectedUs.toFixed(0)} us after`;
}

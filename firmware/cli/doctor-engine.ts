// What `twinstep doctor` says of engines: which one `auto` takes and why, whether the software one translates, whether
// positions on hardware are hit.
import { GuestMemory, probeKvm, SoftEngine, VtxEngine } from '../../native/index.ts';
import { commission, landingGaps } from '../host/commissioning.ts';
import { linuxNeeds } from '../host/exact-linux.ts';
import { type Finding, find, readText } from './doctor-finding.ts';

/** Which engine `auto` takes and why; then what a Linux needs of the hardware one, each by itself. */
export function checkEngine(sys: string, probe: typeof probeKvm = probeKvm): Finding[] {
  const area = 'engine';
  const found = probe();
  const words = found.words.join('; ');
  const soft = 'software, exact to the instruction';
  if (!found.isUsable) return [find(area, 'ok', `${soft}; no hardware engine: ${words}`)];
  const needs = linuxNeeds(found, sys);
  const each = needs.map((need) =>
    find(need.area, need.isMet ? 'ok' : 'warn', need.found, need.todo),
  );
  if (found.isLimited) return [find(area, 'warn', `${soft}; ${words}`, 'use a whole KVM'), ...each];
  if (needs.every(({ isMet }) => isMet))
    return [find(area, 'ok', `hardware, exact: ${words}`), ...each];
  const missing = needs.flatMap((need) => (need.isMet ? [] : [need.area]));
  const why = `hardware is not exact for Linux: ${missing.join(', ')} (below)`;
  return [find(area, 'warn', `${soft}; ${why}: ${words}`, 'see below'), ...each];
}

const LANDINGS = 5_000;

/** Every target must be hit: one miss, and hardware is not for this board. */
export function checkLandings(): Finding {
  const area = 'landing';
  try {
    const make = (memory: GuestMemory) => new VtxEngine(memory, 'branches');
    const { landings, skidMax, problem } = commission(make, LANDINGS, landingGaps());
    return problem === undefined
      ? find(area, 'ok', `${landings} of ${landings} exact, latest alarm ${skidMax} branches`)
      : find(area, 'fail', `landing ${landings}: ${problem}`, 'run guests with --engine soft');
  } catch (error) {
    return find(area, 'fail', (error as Error).message, 'run guests with --engine soft');
  }
}

/** Branches of the firmware's own handlers must not count. */
export function checkSmis(sys: string): Finding[] {
  const file = 'devices/cpu/freeze_on_smi';
  const value = readText(sys, file);
  if (value === null) return [];
  const todo = `echo 1 > /sys/${file}`;
  return [
    value === '1'
      ? find('SMIs', 'ok', 'counters stand still in them')
      : find('SMIs', 'warn', 'counters go on in them: the hardware engine may miscount', todo),
  ];
}

/** Why the software engine of this host does not translate; undefined: it does. */
function whyNotTranslated(): string | undefined {
  const memory = new GuestMemory({ bytes: 1 << 20 });
  const engine = new SoftEngine(memory);
  const { translatesNot } = engine;
  engine.close();
  memory.close();
  return translatesNot;
}

/** A host that gives no executable memory makes the software engine slow, and nothing else. */
export function checkTranslator(why: string | undefined = whyNotTranslated()): Finding {
  const area = 'translator';
  if (why === undefined) return find(area, 'ok', 'warm code of guests becomes host code');
  const todo = 'allow this service to map executable memory (SELinux: execmem; seccomp: mmap)';
  return find(
    area,
    'warn',
    `guests are interpreted, as exact and several times slower: ${why}`,
    todo,
  );
}

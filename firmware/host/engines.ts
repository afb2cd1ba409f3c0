// Which engine runs a guest on this host, and the engine itself.
//
// `auto` takes hardware only where it is exact: where the KVM is a whole one that has all a Linux needs
// (exact-linux.ts), branches are counted, and this processor just landed where it should, every time.
// Exit-aligned positions are for those who ask for them by name, and are told what is missing.
import {
  type GuestMemory,
  VtxEngine as NativeVtx,
  probeKvm,
  SoftEngine,
} from '../../native/index.ts';
import type { Engine } from '../machine/engine.ts';
import { missedLanding } from './commissioning.ts';
import {
  DEFAULT_ENGINE,
  ENGINE_KINDS,
  ENGINES,
  type EngineChoice,
  type EngineKind,
  INTERPRETER,
} from './engine-kinds.ts';
import { HostError } from './errors.ts';
import { linuxNeeds, missingIn, type Need } from './exact-linux.ts';
import { NativeEngine } from './native-engine.ts';
import { VtxEngine } from './vtx-engine.ts';

export interface Chosen {
  readonly kind: EngineKind;
  readonly why: string;
  /** The software engine does not translate. No part of what the guest is. */
  readonly interprets?: boolean;
}

/** What `auto` takes where the host is good enough. */
const EXACT_ON_HARDWARE = 'vtx-branches';

type Make = (memory: GuestMemory, interprets: boolean) => Engine;
const MAKE: Readonly<Record<EngineKind, Make>> = {
  soft: (memory, interprets) =>
    new NativeEngine('soft', new SoftEngine(memory, { translate: !interprets })),
  'vtx-branches': (memory) => new VtxEngine('vtx-branches', new NativeVtx(memory, 'branches')),
  'vtx-exits': (memory) => new VtxEngine('vtx-exits', new NativeVtx(memory, 'exits')),
  'vtx-steps': (memory) => new VtxEngine('vtx-steps', new NativeVtx(memory, 'steps')),
};

export function createEngine(memory: GuestMemory, kind: EngineKind, interprets = false): Engine {
  return MAKE[kind](memory, interprets);
}

/** The engine a choice stands for on this host. Throws HostError where it cannot be had. */
export function chooseEngine(
  choice: EngineChoice,
  probe: typeof probeKvm = probeKvm,
  tryLanding: () => string | undefined = () =>
    missedLanding((memory) => new NativeVtx(memory, 'branches')),
  sys = '/sys',
): Chosen {
  if (choice === 'auto') return bestOf(probe(true), tryLanding, sys);
  if (choice === INTERPRETER) return { kind: DEFAULT_ENGINE, why: 'asked for', interprets: true };
  const kind = ENGINE_KINDS.find((one) => ENGINES[one].choice === choice) ?? DEFAULT_ENGINE;
  if (!ENGINES[kind].isHardware) return { kind, why: 'asked for' };
  const found = probe(false);
  const words = found.words.join('; ');
  if (!found.isUsable) throw new HostError('E_ENGINE', `no hardware engine here: ${words}`);
  const why = `${words}${notForLinux(linuxNeeds(found, sys), ENGINES[kind].mustLand)}`;
  if (!ENGINES[kind].mustLand) return { kind, why };
  if (!found.countsBranches) {
    throw new HostError(
      'E_ENGINE',
      `the hardware engine is not exact here (${words}); --engine vtx-exits takes positions at exits`,
    );
  }
  const missed = tryLanding();
  if (missed === undefined) return { kind, why };
  throw new HostError('E_ENGINE', `this processor misses where it should land: ${missed}`);
}

/** Behind what was found. At exits no counter is missed. */
function notForLinux(needs: readonly Need[], mustLand: boolean): string {
  const missing = missingIn(needs.filter(({ area }) => mustLand || area !== 'positions'));
  return missing === '' ? '' : `; not exact for Linux: ${missing}`;
}

function bestOf(
  found: ReturnType<typeof probeKvm>,
  tryLanding: () => string | undefined,
  sys: string,
): Chosen {
  const { words, isUsable, isLimited } = found;
  const needs = linuxNeeds(found, sys);
  const why = `${words.join('; ')}${isUsable ? notForLinux(needs, true) : ''}`;
  const isExact = isUsable && !isLimited && needs.every(({ isMet }) => isMet);
  if (!isExact) return { kind: DEFAULT_ENGINE, why };
  const missed = tryLanding();
  if (missed === undefined) return { kind: EXACT_ON_HARDWARE, why };
  return { kind: DEFAULT_ENGINE, why: `${missed}; ${why}` };
}

// What a guest on this host is, from its files as they are now: what its board says of it to the peer,
// and what heads its log.
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import type { GuestFacts, MachineIdentity } from '../lockstep/guest-identity.ts';
import { DEFAULT_ENGINE } from './engine-kinds.ts';
import type { GuestConfig, GuestSetup } from './vcpu/messages.ts';

/** One CPUID model on every host (native/softcpu). */
export const CPU_MODEL = 'twinstep-x86-64-v2';

/** What a guest made like this is, whichever of its lives. */
export function guestFacts(setup: GuestSetup): Omit<GuestFacts, 'restartsOn'> {
  const { memoryBytes, commandLine, kernel, initrd, devices, engine = DEFAULT_ENGINE } = setup;
  return {
    ...{ firmwareVersion: firmwareVersion(), engine, cpuModel: CPU_MODEL },
    ...{ memoryBytes, commandLine },
    kernel: sha256(kernel),
    initrd: initrd === undefined ? null : sha256(initrd),
    disks: devices.disks.map(({ sectors, isReadOnly }) => ({ bytes: sectors * 512, isReadOnly })),
    macs: devices.nics.map(({ mac }) => mac),
    hasConsole: devices.hasConsole,
  };
}

/** `paths` of its disks, in order. */
export async function identityOf(
  config: GuestConfig,
  paths: readonly string[],
): Promise<MachineIdentity> {
  const { epochSeconds, entropySeed, multiplier } = config;
  const facts = guestFacts(config);
  const disks = facts.disks.map(async (disk, at) => ({
    ...disk,
    sha256: await sha256OfFile(paths[at]!),
  }));
  return { ...facts, epochSeconds, entropySeed, multiplier, disks: await Promise.all(disks) };
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}

export async function sha256OfFile(path: string): Promise<Uint8Array> {
  const hash = createHash('sha256');
  for await (const bytes of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(bytes);
  return new Uint8Array(hash.digest());
}

/** From the manifest that ships with this code. */
export function firmwareVersion(): string {
  const manifest = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

// What a guest on this host is: the identity that heads its log, from its files as they are now.
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { MachineIdentity } from '../lockstep/identity.ts';
import type { GuestConfig } from './vcpu/messages.ts';

/** One CPUID model on every host (native/softcpu). */
export const CPU_MODEL = 'twinstep-x86-64-v2';

export async function identityOf(
  config: GuestConfig,
  disks: readonly { readonly path: string; readonly isReadOnly: boolean }[],
): Promise<MachineIdentity> {
  return {
    firmwareVersion: firmwareVersion(),
    engine: config.engine ?? 'soft',
    cpuModel: CPU_MODEL,
    memoryBytes: config.memoryBytes,
    epochSeconds: config.epochSeconds,
    entropySeed: config.entropySeed,
    multiplier: config.multiplier,
    commandLine: config.commandLine,
    kernel: sha256(config.kernel),
    initrd: config.initrd === undefined ? null : sha256(config.initrd),
    disks: await Promise.all(
      disks.map(async ({ path, isReadOnly }) => ({
        bytes: (await stat(path)).size,
        sha256: await sha256OfFile(path),
        isReadOnly,
      })),
    ),
    macs: config.devices.nics.map(({ mac }) => mac),
    hasConsole: config.devices.hasConsole,
  };
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

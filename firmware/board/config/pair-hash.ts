// One number for all of a configuration that must be equal on both boards, so that two people at two
// consoles need not read two files. Paths may differ, what they hold is compared at sync-up. Pure.
import { createHash } from 'node:crypto';
import { DEFAULT_ENGINE, INTERPRETER } from '../../host/engine-kinds.ts';
import type { PropertyAt } from '../../lockstep/guest-identity.ts';
import type { BoardConfig, GuestPlan } from './types.ts';

/** The properties of the guest that count here, as they are configured; the names are the hash's own. */
const GUEST: { readonly [Name in PropertyAt<'pair'>]: (guest: GuestPlan) => object } = {
  commandLine: ({ append }) => ({ append }),
  memoryBytes: ({ memoryBytes }) => ({ memoryBytes }),
  engine: ({ engine }) => ({ engine: engine === INTERPRETER ? DEFAULT_ENGINE : engine }),
  restartsOn: ({ onPowerOff }) => ({ onPowerOff }),
  macs: ({ nics }) => ({ macs: nics.map(({ mac }) => [...mac]) }),
  disks: ({ disks }) => ({ disks: disks.map(({ isReadOnly }) => isReadOnly) }),
  lines: ({ com1, com2 }) => ({ lines: [com1.kind, com2.kind] }),
};

export function pairHashOf({ guest, limits, front, log, serial, mqtt }: BoardConfig): string {
  const shared = {
    guest: Object.assign({}, ...Object.values(GUEST).map((part) => part(guest))),
    limits,
    front: { port: front.port, gateway: front.gateway },
    serial: serial?.baud ?? null,
    mqtt: mqtt === null ? null : { group: mqtt.group, device: mqtt.device },
    // As it was before there was a choice, where the usual one is made.
    ...(log.overFront === null && { log: 'cards' }),
  };
  return createHash('sha256').update(JSON.stringify(shared)).digest('hex');
}

// One number for all of a configuration that must be equal on both boards, so that two people at two
// consoles need not read two files. Paths may differ, what they hold is compared at sync-up. Pure.
import { createHash } from 'node:crypto';
import type { BoardConfig } from './types.ts';

export function pairHashOf({ guest, limits, front, serial, mqtt }: BoardConfig): string {
  const { append, memoryBytes, engine, nics, disks, com1, com2, onPowerOff } = guest;
  const shared = {
    guest: {
      ...{ append, memoryBytes, engine, onPowerOff },
      macs: nics.map(({ mac }) => [...mac]),
      disks: disks.map(({ isReadOnly }) => isReadOnly),
      lines: [com1.kind, com2.kind],
    },
    limits,
    front: { port: front.port, gateway: front.gateway },
    serial: serial?.baud ?? null,
    mqtt: mqtt === null ? null : { group: mqtt.group, device: mqtt.device },
  };
  return createHash('sha256').update(JSON.stringify(shared)).digest('hex');
}

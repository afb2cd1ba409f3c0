// The virtio devices of a guest, by what it has: network cards, disks, an entropy source, a console.
//
// Slots are part of what a guest sees (its names for devices follow them), so they are fixed by kind and
// count: entropy 1, console 2, network cards from 4, disks from 8.

import { VirtioBlk } from '../devices/virtio-blk/blk.ts';
import { VirtioConsole } from '../devices/virtio-console/console.ts';
import { VirtioNet } from '../devices/virtio-net/net.ts';
import { VirtioRng } from '../devices/virtio-rng/rng.ts';
import type { Endpoints, PlugContext } from './machine-types.ts';

export const NICS_MAX = 4;
export const DISKS_MAX = 16;
const SLOT = { rng: 1, console: 2, firstNic: 4, firstDisk: 8 } as const;

export type GuestDevices = {
  readonly nics: readonly { readonly mac: Uint8Array }[];
  readonly disks: readonly {
    readonly sectors: number; // of 512 bytes
    readonly isReadOnly: boolean;
    readonly serial: string;
  }[];
  readonly hasConsole: boolean;
};

// What MachineOptions.plug wants.
export function plugVirtio(devices: GuestDevices): (context: PlugContext) => PluggedDevices {
  if (devices.nics.length > NICS_MAX) throw new Error(`at most ${NICS_MAX} network cards`);
  if (devices.disks.length > DISKS_MAX) throw new Error(`at most ${DISKS_MAX} disks`);
  return ({ pci, ram, output, drawSeed }) => {
    const rng = new VirtioRng({ ram, intx: pci.intx(SLOT.rng), seed: drawSeed() });
    pci.add(SLOT.rng, rng.pci);
    const nics = devices.nics.map(({ mac }, nic) => {
      const slot = SLOT.firstNic + nic;
      const card = new VirtioNet({ ram, intx: pci.intx(slot), output, nic, mac });
      pci.add(slot, card.pci);
      return card;
    });
    const disks = devices.disks.map((facts, disk) => {
      const slot = SLOT.firstDisk + disk;
      const drive = new VirtioBlk({ ram, intx: pci.intx(slot), output, disk, ...facts });
      pci.add(slot, drive.pci);
      return drive;
    });
    let console: VirtioConsole | undefined;
    if (devices.hasConsole) {
      console = new VirtioConsole({ ram, intx: pci.intx(SLOT.console), output });
      pci.add(SLOT.console, console.pci);
    }
    return { nics, disks, console };
  };
}

// As Endpoints, with the devices themselves: the recorder asks disks for what is in flight.
export type PluggedDevices = Endpoints & {
  readonly nics: readonly VirtioNet[];
  readonly disks: readonly VirtioBlk[];
};

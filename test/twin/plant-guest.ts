// The plant's guest for tests: assembled when missing, or the reason in words why it cannot be.
import { DebianError } from '../guests/linux/debian.ts';
import { type PlantGuest, plantGuest } from '../guests/plant/plant.ts';
import { needs } from '../harness/index.ts';

export type PlantOrWhy =
  | { readonly guest: PlantGuest; readonly why: undefined }
  | { readonly guest: undefined; readonly why: string };

/** Before entering a namespace, where there is no archive. */
export function plantOrWhy(): PlantOrWhy {
  const gcc = needs.command('gcc');
  if (!gcc.met) return { guest: undefined, why: gcc.why };
  try {
    return { guest: plantGuest(), why: undefined };
  } catch (error) {
    if (!(error instanceof DebianError)) throw error;
    return { guest: undefined, why: `needs packages of Debian's archive: ${error.message}` };
  }
}

// Which slot of the appliance this machine started from, by what GRUB put on the kernel's command line. A slot that was
// left is told: the other one may hold whatever was there before. Elsewhere there are no slots.
import { readFileSync } from 'node:fs';

const CMDLINE = '/proc/cmdline';

/** In words, why it is not the slot that is to be started; null: it is, or there are none. */
export function leftSlot(path: string = CMDLINE): string | null {
  let words: string[];
  try {
    words = readFileSync(path, 'latin1').trim().split(/\s+/);
  } catch {
    return null;
  }
  const of = (key: string) =>
    words.find((word) => word.startsWith(`${key}=`))?.slice(key.length + 1) ?? '';
  const [slot, preferred] = [of('rauc.slot'), of('twinstep.preferred')];
  if (!/^[AB]$/.test(slot) || !/^[AB]$/.test(preferred) || slot === preferred) return null;
  const why =
    of('twinstep.confirmed') === '1'
      ? 'which was confirmed, did not come up any more, or was passed over by hand'
      : 'whose image was never confirmed, did not come up, or was passed over by hand';
  return `slot ${slot} runs: slot ${preferred}, ${why}`;
}

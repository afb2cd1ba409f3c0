// The Linux guest for tests: assembled when missing, or the reason in words why it cannot be.
import { type LinuxGuest, linuxGuest } from '../guests/linux/assemble.ts';
import { DebianError } from '../guests/linux/debian.ts';

const APPEND = 'console=ttyS0 acpi=off noapic nolapic quiet reboot=k';

export type Assembled =
  | { readonly guest: LinuxGuest; readonly why: undefined }
  | { readonly guest: undefined; readonly why: string };

export function assembled(): Assembled {
  try {
    return { guest: linuxGuest(), why: undefined };
  } catch (error) {
    if (!(error instanceof DebianError)) throw error;
    return { guest: undefined, why: `needs packages of Debian's archive: ${error.message}` };
  }
}

/** Options of `twinstep guest` for the guest's script of that name. */
export function guestArgs(
  { kernel, initrd }: LinuxGuest,
  script: string,
  address?: string,
): string[] {
  const append = `${APPEND} twinstep.run=${script}${address === undefined ? '' : ` twinstep.ip=${address}`}`;
  return ['guest', '--kernel', kernel, '--initrd', initrd, '--append', append];
}

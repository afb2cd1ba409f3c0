// Ctrl-] on the console means leave; everything else belongs to the guest.

export const LEAVE_BYTE = 0x1d;

/** What goes to the guest, and whether the person wants to leave. */
export function splitAtLeave(bytes: Uint8Array): { forGuest: Uint8Array; leaves: boolean } {
  const at = bytes.indexOf(LEAVE_BYTE);
  if (at < 0) return { forGuest: bytes, leaves: false };
  return { forGuest: bytes.subarray(0, at), leaves: true };
}

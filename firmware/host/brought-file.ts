// Text files as people bring them on a stick, from whatever editor and system: UTF-8 with or without a byte order
// mark, UTF-16 (what Windows calls Unicode, and what its shell writes), any line end, an old end-of-file letter.
// Configuration, keys, certificates and passwords are read through here; appliance.conf has its reader in the appliance
// (usr/libexec/twinstep/common.sh). Pure.
import { X509Certificate } from 'node:crypto';

/** What some editors of old put behind the last line. */
const END_OF_FILE = '\u001a';

/** Without the mark; lines end as they did, but where they end as nobody reads them any more. */
export function textOf(bytes: Uint8Array): string {
  const all = decoded(Buffer.from(bytes)).replace(/^\uFEFF/, '');
  const end = all.trimEnd();
  const text = end.endsWith(END_OF_FILE) ? end.slice(0, -1) : all;
  return text.includes('\n') ? text : text.replaceAll('\r', '\n');
}

/** By the mark, or by the zeros beside the letters of any configuration. */
function decoded(bytes: Buffer): string {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first !== 0 && second === 0))
    return bytes.toString('utf16le');
  if ((first === 0xfe && second === 0xff) || (first === 0 && second !== 0 && second !== undefined))
    return bytes
      .subarray(0, bytes.length & ~1)
      .swap16()
      .toString('utf16le');
  return bytes.toString('utf8');
}

/** A password: one line, without the end that an editor puts there. */
export function secretLineOf(bytes: Uint8Array): string {
  return textOf(bytes).trim();
}

const DER_SEQUENCE = 0x30;

/** A certificate or a key as PEM text; a certificate in DER, as Windows hands it out, becomes such. */
export function pemOf(bytes: Uint8Array): string {
  if (bytes[0] !== DER_SEQUENCE) return textOf(bytes);
  try {
    return new X509Certificate(bytes).toString();
  } catch {
    // What it is will be said by who needs it.
    return textOf(bytes);
  }
}

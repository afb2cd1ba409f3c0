// The pairing key as a file may hold it: what another tool made, what somebody typed, what an editor saved.
import { parsePairingKey } from '../../../logchan/keys.ts';
import { PAIRING_KEY_BYTES } from '../../../watchdog/path-frame.ts';
import { textOf } from '../../host/brought-file.ts';

/** The 32 bytes themselves, or as text: 64 hexadecimal digits, or base64. Throws an Error in words. */
export function pairingKeyOf(bytes: Uint8Array): Uint8Array {
  if (bytes.length === PAIRING_KEY_BYTES) return new Uint8Array(bytes);
  const wrong = `has ${bytes.length} bytes, not ${PAIRING_KEY_BYTES}`;
  const text = textOf(bytes);
  if (!/^[\s!-~]+$/.test(text)) throw new Error(wrong);
  try {
    return parsePairingKey(Buffer.from(text));
  } catch {
    const forms = '64 hexadecimal digits nor 44 letters of base64';
    throw new Error(`${wrong}, and is neither ${forms}`);
  }
}

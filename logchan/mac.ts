// MAC addresses as people write them.
import { LogchanError } from './errors.ts';

export function parseMac(text: string): Uint8Array {
  if (!/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/.test(text)) {
    throw new LogchanError('E_ADDRESS', `"${text}" is not a MAC address like 02:00:00:00:00:01`);
  }
  return Uint8Array.from(text.split(/[:-]/), (digits) => Number.parseInt(digits, 16));
}

export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

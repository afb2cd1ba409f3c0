// What a board says of itself to people at the other one: its firmware and which configuration it runs
// with. Nothing is decided by it. Pure.

import type { StateObject } from '../devices/contracts.ts';
import { decodeState, encodeState } from '../lockstep/state-codec.ts';
import type { ConfigVersion } from './config/load.ts';

export interface About extends ConfigVersion {
  readonly name: string;
  readonly firmware: string;
}

const TEXT_MAX = 100;

export function encodeAbout({ name, firmware, hash, pairHash, changedMs }: About): Uint8Array {
  return encodeState({ name, firmware, hash, pairHash, changedMs });
}

/** Null: it cannot be read; fields that are not known are no mistake. */
export function decodeAbout(bytes: Uint8Array): About | null {
  const value = decodeState(bytes);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  if (value instanceof Uint8Array) return null;
  const { name, firmware, hash, pairHash, changedMs } = value as StateObject;
  if (!isText(name) || !isText(firmware) || !isText(hash) || !isText(pairHash)) return null;
  if (typeof changedMs !== 'number' || !(Math.abs(changedMs) < 8.64e15)) return null;
  return { name, firmware, hash, pairHash, changedMs };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= TEXT_MAX && /^[ -~]*$/.test(value);
}

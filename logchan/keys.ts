// From one pairing key to everything that protects a session. Each session has keys of its own,
// because both boards put a fresh nonce in: so frame counters may start at 1 every time and no
// key ever meets the same counter twice. Pure: randomness is handed in as the nonces.
import { createHash, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { assert, LogchanError } from './errors.ts';
import { CLUSTER_TAG_BYTES, PAIRING_KEY_BYTES } from './limits.ts';
import { equalBytes } from './wire.ts';

const KEY_BYTES = 32;

/** Directions differ in key and in nonce; either alone would do against reflection. */
export const DIRECTION = { fromLower: 1, fromHigher: 2 } as const;
export type Direction = (typeof DIRECTION)[keyof typeof DIRECTION];

export interface DirectionKey {
  key: Uint8Array;
  direction: Direction;
}

export interface SessionKeys {
  /** Names the session on the wire; public. */
  session: number;
  send: DirectionKey;
  receive: DirectionKey;
}

/** Eight bytes that tell clusters apart without telling their name. */
export function clusterTag(cluster: string): Uint8Array {
  const digest = createHash('sha256').update('twinstep cluster\0').update(cluster).digest();
  return new Uint8Array(digest.subarray(0, CLUSTER_TAG_BYTES));
}

/** Signs calls and checks them, with a key that does nothing else. */
export class HelloAuth {
  private readonly key: Uint8Array;

  constructor(pairingKey: Uint8Array) {
    this.key = derive(pairingKey, new Uint8Array(0), 'twinstep hello v1', KEY_BYTES);
  }

  sign(signed: Uint8Array): Uint8Array {
    return createHmac('sha256', this.key).update(signed).digest();
  }

  verify(signed: Uint8Array, mac: Uint8Array): boolean {
    return timingSafeEqual(this.sign(signed), mac);
  }
}

/** Both boards come to the same keys, whoever called first: the lower nonce goes first. */
export function sessionKeys(
  pairingKey: Uint8Array,
  cluster: Uint8Array,
  nonces: { mine: Uint8Array; theirs: Uint8Array },
): SessionKeys {
  const { mine, theirs } = nonces;
  assert(!equalBytes(mine, theirs), 'a session with oneself');
  const lower = Buffer.compare(mine, theirs) < 0;
  const salt = Buffer.concat(lower ? [mine, theirs] : [theirs, mine]);
  const info = `twinstep session v1 ${Buffer.from(cluster).toString('hex')}`;
  const bytes = derive(pairingKey, salt, info, 2 * KEY_BYTES + 4);
  const fromLower = { key: bytes.slice(0, KEY_BYTES), direction: DIRECTION.fromLower };
  const fromHigher = {
    key: bytes.slice(KEY_BYTES, 2 * KEY_BYTES),
    direction: DIRECTION.fromHigher,
  };
  return {
    session: Buffer.from(bytes).readUInt32BE(2 * KEY_BYTES),
    send: lower ? fromLower : fromHigher,
    receive: lower ? fromHigher : fromLower,
  };
}

function derive(key: Uint8Array, salt: Uint8Array, info: string, bytes: number): Uint8Array {
  assert(key.length === PAIRING_KEY_BYTES, `a pairing key has ${PAIRING_KEY_BYTES} bytes`);
  return new Uint8Array(hkdfSync('sha256', key, salt, info, bytes));
}

/** A key file: the 32 bytes themselves, as pairing writes them, or 64 hexadecimal digits, or base64. */
export function parsePairingKey(file: Uint8Array): Uint8Array {
  if (file.length === PAIRING_KEY_BYTES) return new Uint8Array(file);
  const letters = Buffer.from(file).toString('latin1').trim();
  // In groups, as some tools print them.
  const digits = letters.replace(/[\s:]+/g, '');
  if (/^[0-9a-fA-F]{64}$/.test(digits)) return new Uint8Array(Buffer.from(digits, 'hex'));
  // 43 letters hold 32 bytes and 2 bits, which are zero.
  if (/^[A-Za-z0-9+/_-]{42}[AEIMQUYcgkosw048]=?$/.test(letters))
    return new Uint8Array(Buffer.from(letters, 'base64'));
  const forms = '32 bytes, or 64 hexadecimal digits, or 44 letters of base64';
  throw new LogchanError('E_KEY', `a pairing key is ${forms}`);
}

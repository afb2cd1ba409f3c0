// What a board knows of the guest from what the guest said, and a board that follows later has not heard: the
// networks its cards are in, and how it has set its serial lines. Bytes come from a peer: decoding never throws.
import type { StateObject } from '../../devices/contracts.ts';
import type { LineSettings } from '../../host/serial/guest-lines.ts';
import { decodeState, encodeState } from '../../lockstep/state-codec.ts';
import {
  ADDRESSES_MAX,
  type GuestNetwork,
  NETWORKS_MAX,
  TAG_BYTES,
  TAGS_MAX,
} from './guest-addresses.ts';

export interface Heard {
  readonly cards: readonly (readonly GuestNetwork[])[];
  readonly lines: readonly LineSettings[];
}

const CARDS_MAX = 255;
const PORTS: readonly unknown[] = ['com1', 'com2'];
const PARITIES: readonly unknown[] = ['none', 'odd', 'even', 'mark', 'space'];
const BAUD_MAX = 4_000_000;

export function encodeHeard({ cards, lines }: Heard): Uint8Array {
  return encodeState({
    cards: cards.map((networks) =>
      networks.map(({ tags, ipv4, ipv6, isRouter }) => {
        return { tags, ipv4: [...ipv4], ipv6: [...ipv6], isRouter };
      }),
    ),
    lines: lines.map(({ port, baud, dataBits, parity, stopBits, sendBreak, dtr, rts }) => {
      return { port, baud, dataBits, parity, stopBits, sendBreak, dtr, rts };
    }),
  });
}

/** Null: it cannot be read. */
export function decodeHeard(bytes: Uint8Array): Heard | null {
  const heard: unknown = decodeState(bytes);
  if (typeof heard !== 'object' || heard === null) return null;
  const { cards, lines } = heard as StateObject;
  if (!isList(cards, CARDS_MAX) || !isList(lines, PORTS.length)) return null;
  const areNetworks = (card: unknown) => isList(card, NETWORKS_MAX) && card.every(isNetwork);
  if (!cards.every(areNetworks) || !lines.every(isLine)) return null;
  return {
    cards: cards as GuestNetwork[][],
    lines: lines.map((line) => ({ ...(line as LineSettings), kind: 'serial-line' as const })),
  };
}

function isNetwork(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { tags, ipv4, ipv6, isRouter } = value as StateObject;
  return (
    (isBytes(tags, 0) || isBytes(tags, TAG_BYTES) || isBytes(tags, TAG_BYTES * TAGS_MAX)) &&
    isList(ipv4, ADDRESSES_MAX) &&
    ipv4.every((address) => isBytes(address, 4)) &&
    isList(ipv6, ADDRESSES_MAX) &&
    ipv6.every((address) => isBytes(address, 16)) &&
    typeof isRouter === 'boolean'
  );
}

const isList = (value: unknown, max: number): value is unknown[] =>
  Array.isArray(value) && value.length <= max;
const isBytes = (value: unknown, length: number): value is Uint8Array =>
  value instanceof Uint8Array && value.length === length;

function isLine(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { port, baud, dataBits, parity, stopBits, sendBreak, dtr, rts } = value as StateObject;
  return (
    PORTS.includes(port) &&
    isWhole(baud, 1, BAUD_MAX) &&
    isWhole(dataBits, 5, 8) &&
    PARITIES.includes(parity) &&
    isWhole(stopBits, 1, 2) &&
    [sendBreak, dtr, rts].every((line) => typeof line === 'boolean')
  );
}

const isWhole = (value: unknown, min: number, max: number): boolean =>
  Number.isInteger(value) && (value as number) >= min && (value as number) <= max;

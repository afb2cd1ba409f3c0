// A machine that stands still, as bytes another board can go on from: everything but guest memory and
// disks, which travel by themselves. Made and read in one go, so one checksum covers all of it.
//
//     8 bytes magic and version | SHA-256 of the rest | canonical state encoding of
//       { life: {number, epochSeconds, entropySeed, multiplier}, machine, outputs }
//
// Disk requests in flight are part of the machine: who adopts it issues them again.
import { createHash } from 'node:crypto';
import type { StateObject, StateValue } from '../devices/contracts.ts';
import type { MachineState } from '../machine/machine-types.ts';
import { encodeMagic, MAGIC_BYTES } from './chunks.ts';
import { LockstepError } from './errors.ts';
import type { Birth } from './item-stream.ts';
import type { OutputCounterState } from './outputs.ts';
import { decodeState, encodeState } from './state-codec.ts';

export const LIVE_STATE_MAGIC = 'TWSLIV';
export const LIVE_STATE_VERSION = 1;
const SUM_BYTES = 32;

export interface LiveState {
  readonly birth: Birth;
  readonly machine: MachineState;
  readonly outputs: OutputCounterState;
}

export function encodeLiveState({ birth, machine, outputs }: LiveState): Uint8Array {
  const body = encodeState({
    life: { ...birth },
    machine: machine as unknown as StateValue,
    outputs: { ...outputs },
  });
  const bytes = new Uint8Array(MAGIC_BYTES + SUM_BYTES + body.length);
  bytes.set(encodeMagic(LIVE_STATE_MAGIC, LIVE_STATE_VERSION));
  bytes.set(sumOf(body), MAGIC_BYTES);
  bytes.set(body, MAGIC_BYTES + SUM_BYTES);
  return bytes;
}

/** Throws LockstepError in words for bytes that are not what encodeLiveState wrote. */
export function decodeLiveState(bytes: Uint8Array): LiveState {
  const magic = Buffer.from(encodeMagic(LIVE_STATE_MAGIC, LIVE_STATE_VERSION));
  if (!magic.subarray(0, 6).equals(bytes.subarray(0, 6))) {
    throw bad('this is not the state of a running machine');
  }
  if (!magic.equals(bytes.subarray(0, MAGIC_BYTES))) {
    throw bad('this machine state was written by another version of the firmware');
  }
  const body = bytes.subarray(MAGIC_BYTES + SUM_BYTES);
  if (!sumOf(body).equals(bytes.subarray(MAGIC_BYTES, MAGIC_BYTES + SUM_BYTES))) {
    throw bad('this machine state was altered or cut on its way');
  }
  const state = decodeState(body) as StateObject | undefined;
  if (state === undefined) throw bad('this machine state cannot be read');
  return {
    birth: state.life as unknown as Birth,
    machine: state.machine as unknown as MachineState,
    outputs: state.outputs as unknown as OutputCounterState,
  };
}

const sumOf = (body: Uint8Array): Buffer => createHash('sha256').update(body).digest();
const bad = (why: string): LockstepError => new LockstepError('E_CHECKPOINT', why);

// What this board is, as the leader of a pair compares it with its own (compat.ts).
import { createHash } from 'node:crypto';
import { CPU_MODEL, firmwareVersion } from '../../host/identity.ts';
import type { BoardFacts } from './compat.ts';
import { type GuestSeat, restartsOn } from './guest-seat.ts';
import { MESSAGES_VERSION } from './messages.ts';
import type { HandsPlan } from './plan.ts';

/** The seat must be open. */
export function factsOf(plan: HandsPlan, seat: GuestSeat): BoardFacts {
  const { kernel, initrd } = seat.bootFiles;
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  const sum = (bytes: Uint8Array) => hex(createHash('sha256').update(bytes).digest());
  return {
    messagesVersion: MESSAGES_VERSION,
    firmwareVersion: firmwareVersion(),
    engine: seat.engine.kind,
    cpuModel: CPU_MODEL,
    memoryBytes: plan.memoryBytes,
    commandLine: plan.append,
    kernel: sum(kernel),
    initrd: initrd === undefined ? '' : sum(initrd),
    disks: seat.disks.map(({ bytes, isReadOnly }) => ({ bytes, isReadOnly })),
    macs: plan.nics.map(({ mac }) => hex(mac)),
    hasConsole: false,
    restartsOn: restartsOn(plan),
  };
}

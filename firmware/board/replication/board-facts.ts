// What this board is, as the leader of a pair compares it with its own (compat.ts).
import { createHash } from 'node:crypto';
import { CPU_MODEL, firmwareVersion } from '../../host/identity.ts';
import type { GuestPlan } from '../config/types.ts';
import type { BoardFacts } from './compat.ts';
import { type GuestRunner, restartsOn } from './guest-runner.ts';
import { MESSAGES_VERSION } from './messages.ts';

/** The runner must be open. */
export function factsOf(plan: GuestPlan, runner: GuestRunner): BoardFacts {
  const { kernel, initrd } = runner.bootFiles;
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  const sum = (bytes: Uint8Array) => hex(createHash('sha256').update(bytes).digest());
  return {
    messagesVersion: MESSAGES_VERSION,
    firmwareVersion: firmwareVersion(),
    engine: runner.engine.kind,
    cpuModel: CPU_MODEL,
    memoryBytes: plan.memoryBytes,
    commandLine: plan.append,
    kernel: sum(kernel),
    initrd: initrd === undefined ? '' : sum(initrd),
    disks: runner.disks.map(({ bytes, isReadOnly }) => ({ bytes, isReadOnly })),
    macs: plan.nics.map(({ mac }) => hex(mac)),
    hasConsole: false,
    restartsOn: restartsOn(plan),
  };
}

// What SCADA sees of a board, in names plant staff know. Nothing healthy is ever said on old news:
// who cannot ask the board says so (`unreachable`), and then no value of before is repeated as true.
import { roleWord } from '../board/role-words.ts';
import type { Status } from '../board/status.ts';
import { traitsOf } from '../host/engine-kinds.ts';
import type { Reading, Snapshot } from './edge-node.ts';

/**
 * How fit for service, as OPC UA's ServiceLevel (part 4, 6.6.2.4.2): 0 maintenance, 1 no data,
 * 2 to 199 degraded, 200 to 255 healthy. Healthy is only a board of a redundant pair.
 */
export function serviceLevel({ role, pairState, health }: Status): number {
  if (role === 'maintenance' || role === 'stopped') return 0;
  if (!health.ok) return 2;
  if (role === 'backup') return 200;
  if (pairState === 'RUN-Redundant') return 255;
  if (leads(role)) return pairState === 'SYNCUP' ? 180 : 150;
  return role === 'target' ? 50 : 1;
}

/** The guest is born under the board that serves it. */
function leads(role: Status['role']): boolean {
  return SERVING.has(role);
}

const SERVING: ReadonlySet<string> = new Set([
  ...['solo', 'source', 'granting', 'protected', 'yielding', 'soloing'],
]);

const text = (name: string, value: string | null): Reading => ({ name, type: 'string', value });
const flag = (name: string, value: boolean): Reading => ({ name, type: 'boolean', value });
const count = (name: string, value: number | null): Reading => ({
  name,
  type: 'int32',
  value: value === null ? null : Math.min(0x7fff_ffff, Math.max(0, Math.round(value))),
});
const signed = (name: string, value: number | null): Reading => ({
  name,
  type: 'int32',
  value: value === null ? null : Math.min(0x7fff_ffff, Math.max(-0x7fff_ffff, Math.round(value))),
});
const time = (name: string, wallMs: number): Reading => ({
  name,
  type: 'dateTime',
  value: BigInt(Math.round(wallMs)),
});

export interface SnapshotExtras {
  /** UTC, the moment the status is of. */
  readonly wallMs: number;
}

export function snapshotOf(status: Status, extras: SnapshotExtras): Snapshot {
  const node = [
    ...board(status, extras.wallMs),
    ...pair(status),
    ...ways(status),
    ...stream(status),
    ...takeover(status),
    ...alarms(status),
  ];
  return { node, device: leads(status.role) ? guest(status) : undefined };
}

/** The board's own process does not answer: what was known of it is not known any more, if it ever was. */
export function unreachable(before: Snapshot | undefined, why: string): Snapshot {
  if (before === undefined) {
    const node = [
      flag(NAME.reachable, false),
      count(NAME.serviceLevel, 1),
      flag(NAME.safeToRemove, false),
      text(NAME.why, why),
    ];
    return { node, device: undefined };
  }
  const node: Reading[] = before.node.map((reading) => ({ ...reading, value: null }));
  const set = (name: string, value: Reading['value']) => {
    const at = node.findIndex((reading) => reading.name === name);
    if (at >= 0) node[at] = { ...(node[at] as Reading), value };
  };
  set(NAME.reachable, false);
  set(NAME.serviceLevel, 1);
  set(NAME.safeToRemove, false);
  set(NAME.why, why);
  return { node, device: undefined };
}

/** Why the board is what it is, or why nothing is known of it. */
export function whyOf({ node }: Snapshot): string {
  return String(node.find(({ name }) => name === NAME.why)?.value ?? '');
}

const NAME = {
  reachable: 'Board/Reachable',
  serviceLevel: 'Board/Service Level',
  why: 'Board/Role Reason',
  safeToRemove: 'Board/Safe To Remove',
} as const;

function board(status: Status, wallMs: number): Reading[] {
  const { board, role, why, watchdog, health, versions, safeToRemove } = status;
  return [
    text('Board/Name', board.name),
    text('Board/Side', board.side),
    flag(NAME.reachable, true),
    count('Board/Starts', board.boot),
    text('Board/Role', roleWord(role)),
    text('Board/Arbiter Role', role),
    text(NAME.why, why),
    // Whole seconds: the difference of two clocks trembles.
    time('Board/Role Since', Math.round((wallMs - status.sinceMs) / 1000) * 1000),
    count(NAME.serviceLevel, serviceLevel(status)),
    flag(NAME.safeToRemove, safeToRemove.ok),
    text('Board/Safe To Remove Reason', safeToRemove.why),
    flag('Board/Healthy', health.ok),
    text('Board/Health Reason', health.words.join('; ')),
    text('Board/Watchdog', watchdog.kind),
    flag('Board/Watchdog Armed', watchdog.armed),
    flag('Board/Last Start By Watchdog', watchdog.causedLastReset === true),
    text('Board/Firmware', versions.firmware),
  ];
}

function pair({ pairState, generation, peer, redundancy }: Status): Reading[] {
  return [
    text('Pair/State', pairState),
    flag('Pair/Redundant', pairState === 'RUN-Redundant'),
    flag('Pair/Any Fault Survived', pairState === 'RUN-Redundant' && unsurvived(redundancy) === 0),
    count('Pair/Faults Not Survived', unsurvived(redundancy)),
    text('Pair/Protection', redundancy.words),
    count('Pair/Generation', generation),
    flag('Pair/Peer Heard', peer?.isHeard ?? false),
    text('Pair/Peer Role', peer === null ? null : roleWord(peer.role)),
    text('Pair/Peer Arbiter Role', peer?.role ?? null),
  ];
}

const unsurvived = ({ faults }: Status['redundancy']): number =>
  faults.filter(({ survived }) => !survived).length;

function ways({ paths, witness, link }: Status): Reading[] {
  return [
    text('Paths/Log Link', paths.log.state),
    text('Paths/Serial Line', paths.serial.state),
    text('Paths/Front LAN', paths.front.state),
    flag('Paths/Gateway Answers', witness.answers),
    flag('Paths/Log Link Up', link.up),
    text('Paths/Log Goes Over', link.paths.find(({ state }) => state === 'in-use')?.name ?? null),
  ];
}

function stream({ lagMs, logKbps, sync, gate, check }: Status): Reading[] {
  return [
    count('Log/Lag ms', lagMs),
    count('Log/Rate kbit per s', logKbps),
    text('Log/Output Gate', gate.mode),
    text('Sync/Phase', sync.phase),
    count('Sync/Percent', sync.percent),
    count('Sync/ETA s', sync.etaS),
    text('Sync/Refused', sync.refusals.join('; ')),
    text('Disks/Compared', check.lastAtMs === null ? '' : new Date(check.lastAtMs).toISOString()),
    count('Disks/Differing Blocks', check.lastDiffering),
  ];
}

function takeover({ lastTakeover }: Status): Reading[] {
  return [
    text('Takeover/Last Cause', lastTakeover?.cause ?? null),
    count('Takeover/Last Blackout ms', lastTakeover?.blackoutMs ?? null),
  ];
}

/** How many stand, and which, the worst first. */
function alarms({ alarms }: Status): Reading[] {
  const of = (severity: string) => alarms.filter((alarm) => alarm.severity === severity).length;
  return [
    count('Alarms/Critical', of('critical')),
    count('Alarms/Error', of('error')),
    count('Alarms/Warning', of('warning')),
    text('Alarms/Active', alarms.map(({ code }) => code).join(' ')),
  ];
}

function guest({ guest, disks, pairState }: Status): Reading[] {
  return [
    text('Guest/State', guest.state),
    count('Guest/Starts', guest.lives),
    text('Guest/Engine', traitsOf(guest.engine.kind).words),
    text('Guest/Engine Why', guest.engine.why),
    signed('Guest/Clock Off ms', guest.clock.offMs),
    signed('Guest/Clock Worst Off ms', guest.clock.worstMs),
    flag('Guest/Protected', pairState === 'RUN-Redundant'),
    text('Guest/Disk Trouble', disks.flatMap(({ trouble }) => trouble ?? []).join('; ')),
  ];
}

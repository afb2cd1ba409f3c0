// The configuration file into a BoardConfig: every key, its rule and its default in one place. Pure;
// load.ts then looks whether what it names is there.
import { FRONT_PORT } from '../../../watchdog/front-path.ts';
import {
  checkLimits,
  DEFAULT_LIMITS,
  type Limits,
  PATHS,
  tickMsOf,
} from '../../../watchdog/limits.ts';
import { ENGINE_CHOICES } from '../../host/engine-kinds.ts';
import {
  COMMAND_LINE_DEFAULT,
  diskSpec,
  MEMORY_MIB,
  macAddress,
  madeUpMac,
  serialLineSpec,
} from '../../host/guest-notation.ts';
import { STORM_LIMITS, type StormLimits } from '../../host/net/storm-guard.ts';
import { SYNC_RATE_MIB_S_MAX } from '../../lockstep/sync-rate.ts';
import { DISKS_MAX, NICS_MAX } from '../../machine/plug.ts';
import { mqtt } from './mqtt.ts';
import { ConfigReader, type TableReader } from './reader.ts';
import { type Problem, readToml, type TomlDocument } from './toml.ts';
import type { BoardConfig, GuestLine, GuestNic, GuestPlan, LogConfig } from './types.ts';

export interface Parsed {
  readonly config: BoardConfig;
  readonly document: TomlDocument;
  /** Empty: the configuration holds. */
  readonly problems: readonly Problem[];
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,30}$/;
const INTERFACE = /^[^\s/:]{1,15}$/;
const INTERFACE_WORDS = 'the name of a network interface, 1 to 15 letters';
const GROUP = /^[a-z_][a-z0-9_-]{0,30}$/;
const BAUDS = { min: 9_600, max: 4_000_000 };
const PORTS = { min: 1, max: 65_535 };
/** What bulk data may use of the front LAN: a sync-up is not to be felt there. */
const FRONT_RATE_MBIT = { min: 1, max: 100_000, usual: 20 };
const LOG_CARDS_MAX = 2;
const FRAMES_PER_S = { min: 0, max: 10_000_000 };
const RATE_MIB_S = { min: 0, max: SYNC_RATE_MIB_S_MAX };
const MIB = 1 << 20;

export function parseConfig(text: string, folder: string): Parsed {
  const document = readToml(text);
  const reader = new ConfigReader(document, folder);
  const config = readTables(reader);
  return { config, document, problems: reader.finish() };
}

function readTables(reader: ConfigReader): BoardConfig {
  const board = reader.table('board');
  const name = board.matching('name', NAME, 'letters, digits, ".", "_", "-", at most 31');
  const head = {
    name,
    side: board.choice('side', ['a', 'b']),
    stateDir: board.path('state-dir', '/var/lib/twinstep'),
    pairingKeyFile: board.path('pairing-key-file', '/etc/twinstep/pairing.key'),
    eventsFile: board.optionalPath('events-file') ?? null,
    controlGroup: groupName(board, 'control-group'),
    readGroup: groupName(board, 'read-group'),
    syncAllowed: board.choice('sync-up', ['allowed', 'forbidden'], 'allowed') === 'allowed',
  };
  const config: BoardConfig = {
    ...head,
    log: log(reader.table('log')),
    serial: serial(reader.table('serial')),
    front: front(reader.table('front')),
    watchdog: watchdog(reader.table('watchdog')),
    guest: guest(reader.table('guest')),
    sync: sync(reader.table('sync')),
    limits: limits(reader),
    mqtt: mqtt(reader, name),
  };
  checkLog(reader, config);
  for (const port of ['com1', 'com2'] as const) {
    const line = config.guest[port];
    if (line.kind === 'tty' && line.path === config.serial?.port)
      reader.problem(
        `guest.${port}`,
        `[guest] ${port} ${line.path} is the line to the other board: [serial] port`,
      );
  }
  return config;
}

function log(table: TableReader): LogConfig {
  const interfaces = table.texts('interface');
  const isGiven = table.raw('interface') !== undefined;
  if (!isGiven || (interfaces.length === 0 && Array.isArray(table.raw('interface'))))
    table.problem('interface', 'is missing');
  if (interfaces.length > LOG_CARDS_MAX)
    table.problem('interface', `names more than ${LOG_CARDS_MAX} interfaces`);
  if (new Set(interfaces).size < interfaces.length)
    table.problem('interface', 'names an interface twice');
  for (const name of interfaces)
    if (!INTERFACE.test(name)) table.problem('interface', `"${name}" must be ${INTERFACE_WORDS}`);
  const isOverFront = table.flag('over-front', true);
  const rateMbit = table.whole('front-rate-mbit', FRONT_RATE_MBIT, FRONT_RATE_MBIT.usual);
  return { interfaces, overFront: isOverFront ? { rateMbit } : null };
}

function checkLog(reader: ConfigReader, { front, log }: BoardConfig): void {
  if (log.interfaces.includes(front.interface))
    reader.problem('log.interface', '[log] and [front] must have an interface each');
  if (log.overFront !== null && front.port === PORTS.max)
    reader.problem('front.port', '[front] port must leave the next one to [log] over-front');
}

function sync(table: TableReader): BoardConfig['sync'] {
  return {
    rateMibS: table.whole('rate-mib-s', RATE_MIB_S, 0),
    checkMibS: table.whole('check-mib-s', RATE_MIB_S, 2),
  };
}

function groupName(table: TableReader, key: string): string | null {
  if (table.raw(key) === undefined) return null;
  return table.matching(key, GROUP, 'the name of a group, or "none"');
}

function serial(table: TableReader): BoardConfig['serial'] {
  const port = table.text('port');
  const baud = table.whole('baud', BAUDS, 115_200);
  return port === 'none' ? null : { port: table.absolute(port), baud };
}

function front(table: TableReader): BoardConfig['front'] {
  const witness = table.raw('gateway') === 'none' ? null : table.address('gateway');
  const bind = table.address('bind');
  const peer = table.address('peer');
  if (bind !== '' && bind === peer) table.problem('peer', 'is the address of this board itself');
  return {
    interface: table.matching('interface', INTERFACE, INTERFACE_WORDS),
    bind,
    peer,
    port: table.whole('port', PORTS, FRONT_PORT),
    gateway: witness,
  };
}

function watchdog(table: TableReader): BoardConfig['watchdog'] {
  return {
    kind: table.choice('kind', ['device', 'stand-in', 'none'], 'device'),
    device: table.path('device', '/dev/watchdog'),
  };
}

function guest(table: TableReader): GuestPlan {
  const append = table.raw('append');
  if (append !== undefined && typeof append !== 'string')
    table.problem('append', 'must be text in quotes');
  return {
    kernel: table.path('kernel'),
    initrd: table.optionalPath('initrd'),
    append: typeof append === 'string' ? append : COMMAND_LINE_DEFAULT,
    memoryBytes: table.whole('memory-mib', MEMORY_MIB, MEMORY_MIB.default) * MIB,
    // Not `auto`: Linux on two boards diverged on hardware (native/vtx/UNPROVEN.md, 11).
    engine: table.choice('engine', ENGINE_CHOICES, 'soft'),
    nics: nics(table),
    storm: storm(table),
    disks: disks(table),
    com1: line(table, 'com1'),
    com2: line(table, 'com2'),
    onPowerOff: table.choice('on-power-off', ['stop', 'restart'], 'stop'),
  };
}

function storm(table: TableReader): StormLimits {
  const { groupFramesPerS, framesPerS } = STORM_LIMITS;
  const limits = {
    groupFramesPerS: table.whole('broadcasts-per-s', FRAMES_PER_S, groupFramesPerS),
    framesPerS: table.whole('frames-per-s', FRAMES_PER_S, framesPerS),
  };
  if (limits.framesPerS > 0 && limits.groupFramesPerS > limits.framesPerS / 2)
    table.problem('broadcasts-per-s', 'is more than half of "frames-per-s"');
  return limits;
}

function nics(table: TableReader): GuestNic[] {
  const taps = table.texts('tap');
  const macs = table.texts('mac');
  if (taps.length > NICS_MAX) table.problem('tap', `names more than ${NICS_MAX} interfaces`);
  if (new Set(taps).size < taps.length) table.problem('tap', 'names an interface twice');
  for (const tap of taps)
    if (!INTERFACE.test(tap)) table.problem('tap', `"${tap}" must be ${INTERFACE_WORDS}`);
  if (macs.length > taps.length)
    table.problem('mac', `has ${macs.length} addresses for ${taps.length} interfaces of "tap"`);
  if (new Set(macs.map((mac) => mac.toLowerCase())).size < macs.length)
    table.problem('mac', 'has an address twice');
  return taps.map((tap, nic) => {
    const given = macs[nic];
    return { tap, mac: given === undefined ? UNSET_MAC : mac(table, given) };
  });
}

/** Every key a file may have, in the order of the documentation. */
export function knownKeys(): string[] {
  const reader = new ConfigReader(readToml('[mqtt]\n'), '/');
  readTables(reader);
  return [...reader.asked].flatMap(([table, keys]) => [...keys].map((key) => `${table}.${key}`));
}

/** Replaced by `withMacs`, which needs the pairing key. */
const UNSET_MAC = new Uint8Array(6);

/** Both boards of a pair, and no other pair, make the same address of a card that was given none. */
export function withMacs(config: BoardConfig, pairingKey: Uint8Array): BoardConfig {
  const nics = config.guest.nics.map((nic, index) => {
    if (nic.mac !== UNSET_MAC) return nic;
    const mac = madeUpMac('twinstep guest mac', pairingKey, Uint8Array.of(index));
    return { ...nic, mac };
  });
  return { ...config, guest: { ...config.guest, nics } };
}

function mac(table: TableReader, text: string): Uint8Array {
  const read = macAddress(text);
  if (typeof read !== 'string') return read;
  table.problem('mac', `"${text}" ${read}`);
  return UNSET_MAC;
}

function disks(table: TableReader): GuestPlan['disks'] {
  const given = table.texts('disks');
  if (given.length > DISKS_MAX) table.problem('disks', `names more than ${DISKS_MAX} disks`);
  const list = given.flatMap((text) => {
    const spec = diskSpec(text);
    if (typeof spec !== 'string') return [{ ...spec, path: table.absolute(spec.path) }];
    table.problem('disks', `"${text}" ${spec}`);
    return [];
  });
  if (new Set(list.map(({ path }) => path)).size < list.length)
    table.problem('disks', 'names a file twice');
  return list;
}

function line(table: TableReader, key: string): GuestLine {
  const text = table.text(key, 'none');
  const spec = serialLineSpec(text, ['none', 'pty']);
  if (typeof spec !== 'string')
    return 'path' in spec ? { ...spec, path: table.absolute(spec.path) } : spec;
  table.problem(key, `"${text}" ${spec}`);
  return { kind: 'none' };
}

const SIMPLE_LIMITS = {
  'witness-probe-ms': 'witnessProbeMs',
  'witness-silent-ms': 'witnessSilentMs',
  'stall-ms': 'stallMs',
  'seek-ms': 'seekMs',
  'leave-ms': 'leaveMs',
  'death-ms': 'deathMs',
  'isolated-ms': 'isolatedMs',
  'watchdog-timeout-ms': 'watchdogTimeoutMs',
  'pet-ms': 'petMs',
} as const;
const LIMIT_MS = { min: 1, max: 600_000 };

function limits(reader: ConfigReader): Limits {
  const before = reader.problems.length;
  const table = reader.table('limits');
  const read = (key: string, usual: number) => table.whole(key, LIMIT_MS, usual);
  const heartbeatMs = { ...DEFAULT_LIMITS.heartbeatMs };
  const silentMs = { ...DEFAULT_LIMITS.silentMs };
  for (const path of PATHS) {
    heartbeatMs[path] = read(`heartbeat-${path}-ms`, heartbeatMs[path]);
    silentMs[path] = read(`silent-${path}-ms`, silentMs[path]);
  }
  const simple = Object.entries(SIMPLE_LIMITS).map(([key, name]) => [
    name,
    read(key, DEFAULT_LIMITS[name]),
  ]);
  const given: Limits = {
    ...DEFAULT_LIMITS,
    ...Object.fromEntries(simple),
    heartbeatMs,
    silentMs,
  };
  // Nobody sets it: of a line that may be silent for longer it is as long.
  const syncSilenceMs = Math.max(given.syncSilenceMs, ...PATHS.map((path) => silentMs[path]));
  const all = { ...given, syncSilenceMs, tickMs: tickMsOf(given) };
  if (reader.problems.length > before) return DEFAULT_LIMITS;
  try {
    return checkLimits(all);
  } catch (error) {
    reader.problem('limits', `[limits] contradict each other: ${(error as Error).message}`);
    return DEFAULT_LIMITS;
  }
}

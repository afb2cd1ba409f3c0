// A stick with a board's first configuration, as docs/hardware.md describes it.
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PCI } from './machine.ts';
import type { Tools } from './tools.ts';

const STICK_BYTES = 4 * 2 ** 20;
const DISK_BYTES = 262_144;

export interface StickPlan {
  readonly side: 'a' | 'b';
  readonly address: string;
  readonly peer: string;
  readonly gateway: string;
  /** A Multiboot image. */
  readonly guest: Uint8Array;
  /** More lines of [guest], and tables behind all others. */
  readonly guestLines?: readonly string[];
  readonly tables?: readonly string[];
  readonly boardLines?: readonly string[];
}

const name = ({ side }: StickPlan): string => `emulated-${side}`;

const appliance = (plan: StickPlan): string[] => [
  `HOSTNAME=${name(plan)}`,
  `FRONT_NIC=pci:${PCI.front}`,
  `FRONT_ADDRESS=${plan.address}/24`,
  `LOG_NIC=pci:${PCI.log}`,
  'GUEST_TAPS=tap0',
  'CONFIRM_AFTER_S=20',
  // Three starts of Node a minute is all such a processor does.
  'CONFIRM_LIMIT_S=300',
];

/** An emulated processor on a shared host stands still for whole tenths of a second. */
const LIMITS = [
  'heartbeat-log-ms = 100',
  'heartbeat-serial-ms = 200',
  'heartbeat-front-ms = 100',
  'silent-log-ms = 4000',
  'silent-serial-ms = 4500',
  'silent-front-ms = 4000',
  'witness-probe-ms = 200',
  'witness-silent-ms = 3500',
  'stall-ms = 3000',
  'seek-ms = 45000',
  'leave-ms = 10000',
  'death-ms = 10000',
  'isolated-ms = 15000',
  'watchdog-timeout-ms = 30000',
  'pet-ms = 3000',
];

const board = (plan: StickPlan): string[] => [
  '[board]',
  `name = "${name(plan)}"`,
  `side = "${plan.side}"`,
  'state-dir = "/data/twinstep/state"',
  'pairing-key-file = "/data/twinstep/pairing.key"',
  ...(plan.boardLines ?? []),
  '[log]',
  'interface = "log0"',
  'over-front = false',
  '[serial]',
  'port = "/dev/ttyS1"',
  '[front]',
  'interface = "plant0"',
  `bind = "${plan.address}"`,
  `peer = "${plan.peer}"`,
  `gateway = "${plan.gateway}"`,
  '[guest]',
  'kernel = "/data/guest/guest.elf"',
  'memory-mib = 8',
  'append = ""',
  'tap = "tap0"',
  'disks = ["/data/guest/disk.img"]',
  ...(plan.guestLines ?? []),
  '[limits]',
  ...LIMITS,
  ...(plan.tables ?? []),
];

/** Makes the raw FAT image in a folder; answers its path. */
export function makeStick(tools: Tools, folder: string, plan: StickPlan): string {
  const stick = join(folder, 'stick.img');
  const files = join(folder, 'stick');
  rmSync(stick, { force: true });
  writeFileSync(stick, '');
  truncateSync(stick, STICK_BYTES);
  tools.run('mkdosfs', ['-n', 'TWINSTEPCFG', stick]);
  tools.run('mmd', ['-i', stick, '::guest']);
  const put = (path: string, content: string | Uint8Array): void => {
    const file = join(files, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
    tools.run('mcopy', ['-i', stick, file, `::${path}`]);
  };
  put('appliance.conf', `${appliance(plan).join('\n')}\n`);
  put('board.toml', `${board(plan).join('\n')}\n`);
  put('pairing.key', Buffer.alloc(32, 7));
  put('guest/guest.elf', plan.guest);
  put('guest/disk.img', Buffer.alloc(DISK_BYTES));
  return stick;
}

// A stick with a board's first configuration, as docs/hardware.md describes it.
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PCI } from './machine.ts';
import type { Tools } from './tools.ts';

const GUEST = 'guest.elf';

const CONFIGURATION = {
  'appliance.conf': [
    'HOSTNAME=emulated-a',
    `FRONT_NIC=pci:${PCI.front}`,
    'FRONT_ADDRESS=192.168.10.2/24',
    `LOG_NIC=pci:${PCI.log}`,
    'GUEST_TAPS=tap0',
    'CONFIRM_AFTER_S=20',
    // Three starts of Node a minute is all such a processor does.
    'CONFIRM_LIMIT_S=900',
  ],
  'board.toml': [
    '[board]',
    'name = "emulated-a"',
    'side = "a"',
    'state-dir = "/data/twinstep/state"',
    'pairing-key-file = "/data/twinstep/pairing.key"',
    '[log]',
    'interface = "log0"',
    '[serial]',
    'port = "/dev/ttyS1"',
    '[front]',
    'interface = "plant0"',
    'bind = "192.168.10.2"',
    'peer = "192.168.10.3"',
    'gateway = "192.168.10.1"',
    '[guest]',
    `kernel = "/data/guest/${GUEST}"`,
    'memory-mib = 8',
    'append = ""',
    'tap = "tap0"',
    'disks = ["/data/guest/disk.img"]',
    // An emulated processor on a shared host stands still for whole tenths of a second.
    '[limits]',
    'heartbeat-log-ms = 100',
    'heartbeat-serial-ms = 200',
    'heartbeat-front-ms = 100',
    'silent-log-ms = 2500',
    'silent-serial-ms = 3000',
    'silent-front-ms = 2500',
    'witness-probe-ms = 200',
    'witness-silent-ms = 2000',
    'stall-ms = 1500',
    'seek-ms = 30000',
    'leave-ms = 10000',
    'isolated-ms = 60000',
    'watchdog-timeout-ms = 60000',
    'pet-ms = 5000',
  ],
} as const;

/** Makes the raw FAT image in a folder; answers its path. */
export function makeStick(tools: Tools, folder: string): string {
  const stick = join(folder, 'stick.img');
  const files = join(folder, 'stick');
  mkdirSync(files, { recursive: true });
  writeFileSync(stick, '');
  truncateSync(stick, 4 * 2 ** 20);
  tools.run('mkdosfs', ['-n', 'TWINSTEPCFG', stick]);
  const put = (name: string, content: string | Uint8Array): void => {
    writeFileSync(join(files, name), content);
    tools.run('mcopy', ['-i', stick, join(files, name), `::${name}`]);
  };
  for (const [name, lines] of Object.entries(CONFIGURATION)) put(name, `${lines.join('\n')}\n`);
  put('pairing.key', Buffer.alloc(32, 7));
  return stick;
}

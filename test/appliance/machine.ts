// One emulated board: QEMU by software, an i6300ESB watchdog, front and log card, three serial lines
// (technician, peer, a root shell for the host), its own disk.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';

import { setTimeout as sleep } from 'node:timers/promises';

export interface MachinePlan {
  readonly disk: string;
  /** Folder for the socket of the host's shell. */
  readonly folder: string;
  /** More disks, read-only: /dev/vdb and so on. */
  readonly extraDisks?: readonly string[];
  readonly memoryMib: number;
  /** UEFI firmware; without it the machine has a BIOS. */
  readonly uefi?: string;
  /** Front and log, as QEMU's -netdev, with the ids `front` and `log`. */
  readonly networks?: readonly string[];
  /** A socket for the line to the peer and one for the board's events, in the folder. */
  readonly isOfPair?: boolean;
  /** Of the board in its plant; 1 where nothing is said. */
  readonly number?: number;
  /** Another QEMU than this machine's. */
  readonly qemu?: string;
}

/** Sockets of a machine, in its folder. */
export const SOCKETS = {
  host: 'host.sock',
  qmp: 'qmp.sock',
  peer: 'peer.sock',
  events: 'events.sock',
} as const;

/** What a technician meets first: the console, or what stands for it when it cannot run. */
export const FIRST_WORDS = /board: |login: |no users yet/;

/** Cards by the place configuration names them by. */
export const PCI = { front: '0000:00:10.0', log: '0000:00:11.0' } as const;

const UEFI = ['/usr/share/OVMF/OVMF_CODE.fd', '/usr/share/ovmf/OVMF.fd'];
export const uefiFirmware = (): string | undefined => UEFI.find((path) => existsSync(path));
export const hasQemu = (): boolean =>
  spawnSync('qemu-system-x86_64', ['--version'], { stdio: 'ignore' }).status === 0;

const socketOf = (plan: MachinePlan, name: keyof typeof SOCKETS): string =>
  `socket,id=${name},path=${join(plan.folder, SOCKETS[name])},server=on,wait=off`;

/** Two boards in one plant have cards with addresses of their own, as real ones do. */
const mac = (plan: MachinePlan, card: number): string =>
  `02:77:00:00:0${plan.number ?? 1}:0${card}`;

const eventsPort = (plan: MachinePlan): string[] => [
  ...['-chardev', socketOf(plan, 'events'), '-device', 'virtio-serial-pci'],
  ...['-device', 'virtserialport,chardev=events,name=twinstep.events'],
];

function argumentsOf(plan: MachinePlan): string[] {
  const networks = plan.networks ?? [
    // The gateway answers ARP: a witness.
    'user,id=front,restrict=on,net=192.168.10.0/24,host=192.168.10.1',
    'user,id=log,restrict=on',
  ];
  return [
    ...['-accel', 'tcg,thread=multi', '-cpu', 'EPYC,+svm', '-smp', '2', '-m', `${plan.memoryMib}`],
    ...['-nodefaults', '-no-user-config', '-display', 'none'],
    ...(plan.uefi === undefined
      ? []
      : ['-drive', `if=pflash,format=raw,readonly=on,file=${plan.uefi}`]),
    ...['-drive', `file=${plan.disk},if=virtio,format=raw,cache=unsafe`],
    ...(plan.extraDisks ?? []).flatMap((file) => [
      '-drive',
      `file=${file},if=virtio,format=raw,readonly=on`,
    ]),
    ...['-device', 'i6300esb', '-action', 'watchdog=reset'],
    ...[
      '-netdev',
      networks[0] as string,
      '-device',
      `virtio-net-pci,netdev=front,addr=10,mac=${mac(plan, 1)}`,
    ],
    ...[
      '-netdev',
      networks[1] as string,
      '-device',
      `e1000e,netdev=log,addr=11,mac=${mac(plan, 2)}`,
    ],
    ...['-chardev', 'stdio,id=console,signal=off', '-device', 'isa-serial,chardev=console,index=0'],
    ...['-chardev', plan.isOfPair ? socketOf(plan, 'peer') : 'null,id=peer'],
    ...['-device', 'isa-serial,chardev=peer,index=1'],
    ...['-chardev', socketOf(plan, 'host'), '-device', 'isa-serial,chardev=host,index=2'],
    ...(plan.isOfPair ? eventsPort(plan) : []),
    // The last socket: when it is there, all are.
    ...['-chardev', socketOf(plan, 'qmp'), '-mon', 'chardev=qmp,mode=control'],
  ];
}

/** Hosts that are shared are slow; what is measured is told, what is waited for is no promise. */
const PATIENCE = 4;

/** What a terminal would show, less its control sequences. */
export const plain = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control sequences are what is removed
  text.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, '').replaceAll('\r', '');

export class Machine {
  /** Everything the technician's line has said. */
  text = '';
  readonly startedMs = performance.now();
  private readonly child: ChildProcess;
  private readonly plan: MachinePlan;
  private host: Socket | undefined;
  private hostText = '';
  private commands = 0;
  private ended = false;

  constructor(plan: MachinePlan) {
    this.plan = plan;
    for (const name of Object.values(SOCKETS)) rmSync(join(plan.folder, name), { force: true });
    // It does not outlive this process.
    const tied = ['--pdeathsig', 'KILL', plan.qemu ?? 'qemu-system-x86_64'];
    this.child = spawn('setpriv', [...tied, ...argumentsOf(plan)], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (bytes: Buffer) => {
      this.text += bytes.toString('latin1');
    });
    this.child.stderr?.on('data', (bytes: Buffer) => {
      this.text += bytes.toString('latin1');
    });
    this.child.once('exit', () => {
      this.ended = true;
    });
  }

  /** Waits for words on the technician's line, from `after` on; milliseconds since the start. */
  async says(words: RegExp, withinMs: number, after = 0): Promise<number> {
    return this.until(() => words.test(plain(this.text.slice(after))), `${words}`, withinMs);
  }

  /** Runs shell commands, on one line, as root on the board; what they print. Throws when they fail. */
  async shell(commands: string, withinMs = 60_000): Promise<string> {
    await this.connected();
    const from = this.hostText.length;
    this.commands += 1;
    const mark = `== ${this.commands} ends with`;
    // The mark is split, so that no echo of the command looks like its end.
    this.host?.write(
      `( ${commands} ) 2>&1 </dev/null; echo "== ${this.commands} ends"" with $?"\n`,
    );
    await this.until(
      () => new RegExp(`^${mark} \\d+$`, 'm').test(this.hostText.slice(from)),
      `end of: ${commands}`,
      withinMs,
    );
    const text = this.hostText.slice(from);
    const at = text.lastIndexOf(mark);
    const output = text.slice(0, at);
    if (!/ 0$/m.test(text.slice(at).trim())) throw new Error(`${commands}\n${output}`);
    return output;
  }

  /** Repeats commands until they succeed; milliseconds since power-on. */
  async eventually(commands: string, withinMs: number): Promise<number> {
    await this.shell(`until ${commands}; do sleep 1; done`, withinMs);
    return performance.now() - this.startedMs;
  }

  /** The host's shell answers when all init scripts have run. */
  private async connected(): Promise<void> {
    if (this.host !== undefined) return;
    const host = connect(this.socket('host'));
    this.host = host;
    host.on('data', (bytes: Buffer) => {
      this.hostText += bytes.toString('latin1').replaceAll('\r', '');
    });
    host.on('error', () => {});
  }

  socket(name: keyof typeof SOCKETS): string {
    return join(this.plan.folder, SOCKETS[name]);
  }

  /** A sign of life on a socket of this machine: QEMU makes them before it starts. */
  async hasSockets(): Promise<void> {
    await this.until(() => existsSync(this.socket('qmp')), 'sockets', 10_000);
  }

  get isOff(): boolean {
    return this.ended;
  }

  type(text: string): void {
    this.child.stdin?.write(text);
  }

  async stop(): Promise<void> {
    if (this.ended) return;
    const gone = new Promise((resolve) => this.child.once('exit', resolve));
    this.host?.destroy();
    this.child.kill('SIGKILL');
    await gone;
  }

  private async until(isSo: () => boolean, what: string, withinMs: number): Promise<number> {
    const limitMs = performance.now() + withinMs * PATIENCE;
    while (!isSo()) {
      if (this.ended)
        throw new Error(`the machine ended before ${what}:\n${plain(this.text).slice(-2000)}`);
      if (performance.now() > limitMs) {
        throw new Error(
          `no ${what} within ${(withinMs * PATIENCE) / 1000} s:\n${plain(this.text).slice(-2000)}`,
        );
      }
      await sleep(50);
    }
    return performance.now() - this.startedMs;
  }
}

// One board as it is started in a lane: `twinstep board` with everything real but its guest, which is a few
// bytes, and its watchdog's driver. Its state folder is a file system of its own, so that it can be full or
// read-only.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { ControlClient } from '../../firmware/board/control/client.ts';
import type { Answer } from '../../firmware/board/control/verbs.ts';
import type { BoardEvent } from '../../firmware/board/events.ts';
import type { Status } from '../../firmware/board/status.ts';
import { compile } from '../harness/compile.ts';
import { repoPath } from '../harness/index.ts';
import { tinyGuest } from '../host/tiny-guests.ts';
import { followControl } from '../twin/follow-control.ts';
import { childrenOf } from '../twin/processes.ts';
import {
  BOARD_IP,
  FRONT_INTERFACE,
  GATEWAY_IP,
  inside,
  type Lane,
  LOG_INTERFACE,
  other,
  type Side,
  TAP,
} from './lane.ts';

/** So that the alarms of a start come soon, on a machine that several boards share. */
export const LIMITS = {
  'heartbeat-log-ms': 15,
  'heartbeat-serial-ms': 30,
  'heartbeat-front-ms': 15,
  'silent-log-ms': 150,
  'silent-serial-ms': 150,
  'silent-front-ms': 150,
  'witness-probe-ms': 45,
  'witness-silent-ms': 150,
  'stall-ms': 80,
  'seek-ms': 1500,
} as const;
const PAIRING_KEY = Buffer.alloc(32, 0x57);
const GUEST_MAC = '02:78:00:00:00:50';
const DISK_BYTES = 1 << 20;
const STATE_KIB = 256;
const SOURCE = 'test/starts/watchdog-driver.c';
/** The launched process ends with whoever launched it, and all it started with it. */
const ALL_AT_ONCE = [
  'setpriv',
  '--pdeathsig',
  'KILL',
  'unshare',
  '--pid',
  '--fork',
  '--kill-child',
];

export interface Ended {
  readonly code: number | null;
  readonly errors: string;
}

export class StartedBoard {
  readonly side: Side;
  readonly events: BoardEvent[] = [];
  /** All it wrote to standard error. */
  errors = '';
  /** The newest; undefined while nobody answers. */
  status: Status | undefined;
  /** Set when `twinstep board` has ended. */
  ended: Ended | undefined;
  onNews: () => void = () => {};
  private readonly lane: Lane;
  private readonly folder: string;
  private child: ChildProcess | undefined;
  private control: ControlClient | undefined;
  private isClosed = false;

  /** All is well; nothing runs. `folder`: its own, and empty. */
  constructor(lane: Lane, side: Side, folder: string) {
    this.lane = lane;
    this.side = side;
    this.folder = folder;
    mkdirSync(this.file('state'), { recursive: true });
    const size = `size=${STATE_KIB}k`;
    inside(this.namespace, `mount -t tmpfs -o ${size} state ${this.file('state')}`);
    writeFileSync(this.file('key'), PAIRING_KEY, { mode: 0o600 });
    writeFileSync(this.file('kernel'), tinyGuest.halts());
    writeFileSync(this.file('board.toml'), this.configuration());
    this.disk(true);
    this.watchdog('there');
    this.serial(true);
  }

  private get namespace() {
    return this.lane.boards[this.side];
  }

  file(name: string): string {
    return join(this.folder, name);
  }

  /** A file of its state folder, as it is seen from outside. */
  state(name: string): string {
    return `/proc/${this.namespace.pid}/root${this.file('state')}/${name}`;
  }

  disk(isThere: boolean): void {
    rmSync(this.file('disk.img'), { force: true });
    if (!isThere) return;
    writeFileSync(this.file('disk.img'), '');
    truncateSync(this.file('disk.img'), DISK_BYTES);
  }

  watchdog(is: 'there' | 'missing' | 'held'): void {
    const device = this.file('watchdog');
    if (is === 'held') writeFileSync(`${device}.held`, '');
    else rmSync(`${device}.held`, { force: true });
    if (is === 'missing') rmSync(device, { force: true });
    else if (!existsSync(device)) writeFileSync(device, '');
  }

  /** Whether its port is there; what the cable carries is the lane's. */
  serial(isThere: boolean): void {
    rmSync(this.file('serial'), { force: true });
    if (isThere) symlinkSync(this.lane.serial.paths[this.side], this.file('serial'));
  }

  /** Not a byte more fits into its state folder, or it does again. */
  fill(isFull: boolean): void {
    const filler = join(this.file('state'), 'filler');
    inside(
      this.namespace,
      isFull ? `dd if=/dev/zero of=${filler} bs=4k 2>/dev/null || true` : `rm -f ${filler}`,
    );
  }

  readOnly(is: boolean): void {
    inside(this.namespace, `mount -o remount,${is ? 'ro' : 'rw'} ${this.file('state')}`);
  }

  private configuration(): string {
    const { side } = this;
    const text = (name: string) => JSON.stringify(this.file(name));
    return `[board]
name = "start-${side}"
side = "${side}"
state-dir = ${text('state')}
pairing-key-file = ${text('key')}
[log]
interface = "${LOG_INTERFACE}"
over-front = false
[serial]
port = ${text('serial')}
[front]
interface = "${FRONT_INTERFACE}"
bind = "${BOARD_IP[side]}"
peer = "${BOARD_IP[other(side)]}"
gateway = "${GATEWAY_IP}"
[watchdog]
kind = "device"
device = ${text('watchdog')}
[guest]
kernel = ${text('kernel')}
append = ""
memory-mib = 4
tap = "${TAP}"
mac = "${GUEST_MAC}"
disks = [${text('disk.img')}]
[limits]
${Object.entries(LIMITS)
  .map(([key, value]) => `${key} = ${value}`)
  .join('\n')}
`;
  }

  // ---- the process ------------------------------------------------------------------------------

  start(): void {
    this.ended = undefined;
    this.errors = '';
    const child = this.launch();
    this.child = child;
    child.stderr?.on('data', (bytes) => {
      this.errors += bytes;
    });
    const lines = createInterface({ input: child.stdout as Readable });
    lines.on('line', (line) => this.told(line));
    child.once('close', (code) => {
      this.ended = { code, errors: this.errors };
      this.onNews();
    });
    void this.listen(child);
  }

  /** `twinstep board` once more, beside the one that runs; how it ended. */
  async second(): Promise<Ended> {
    const child = this.launch();
    let errors = '';
    child.stderr?.on('data', (bytes) => {
      errors += bytes;
    });
    const [code] = await once(child, 'close');
    return { code, errors };
  }

  private launch(): ChildProcess {
    const target = ['--net', '--mount', '--target', String(this.namespace.pid)];
    const program = repoPath('dist/firmware/cli/twinstep.js');
    const command = [process.execPath, program, 'board', '--config', this.file('board.toml')];
    const preload = [process.env.LD_PRELOAD ?? '', watchdogDriver()].filter((path) => path !== '');
    const own = { LD_PRELOAD: preload.join(' '), TWINSTEP_TEST_WATCHDOG: this.file('watchdog') };
    return spawn('nsenter', [...target, ...ALL_AT_ONCE, ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...own },
    });
  }

  private told(line: string): void {
    this.events.push(JSON.parse(line) as BoardEvent);
    this.onNews();
  }

  private listen(child: ChildProcess): Promise<void> {
    return followControl({
      path: this.state('control.sock'),
      after: null,
      isOver: () => this.isClosed || this.child !== child || this.ended !== undefined,
      told: ({ status }) => {
        this.status = status ?? this.status;
        this.onNews();
      },
      client: (client) => {
        this.control = client;
        if (client !== undefined) return;
        this.status = undefined;
        this.onNews();
      },
    });
  }

  async ask(request: { readonly do: string; readonly [field: string]: unknown }): Promise<Answer> {
    if (this.control === undefined) throw new Error(`board ${this.side} does not answer`);
    return await this.control.ask(request);
  }

  codes(): string[] {
    return this.events.map(({ code }) => code);
  }

  /** The board process stands still, and goes on. */
  hang(): void {
    this.signal('SIGSTOP');
  }

  wake(): void {
    this.signal('SIGCONT');
  }

  private signal(signal: NodeJS.Signals): void {
    const [supervisor] = childrenOf(this.child?.pid ?? 0);
    const [board] = childrenOf(supervisor ?? 0);
    if (board === undefined) throw new Error(`board ${this.side} has no board process now`);
    process.kill(board, signal);
  }

  /** Supervisor and board at once. */
  async cutPower(): Promise<void> {
    const { child } = this;
    if (child === undefined || this.ended !== undefined) return;
    const gone = once(child, 'close');
    // The first process of the namespace takes all others with it.
    const [supervisor] = childrenOf(child.pid ?? 0);
    process.kill(supervisor ?? child.pid!, 'SIGKILL');
    await gone;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await this.cutPower();
    this.control?.close();
    inside(this.namespace, `umount ${this.file('state')}`);
  }

  /** For a failure. */
  words(): string {
    const { status, side, ended } = this;
    const role = status === undefined ? 'does not answer' : `${status.role}: ${status.why}`;
    const alarms = status?.alarms.map(({ code, text }) => `${code} (${text})`).join('; ');
    const events = this.events
      .slice(-40)
      .map(({ monoMs, code, text }) => `  ${monoMs.toFixed(0)} ${code} ${text}`);
    const end = ended === undefined ? [] : [`  ended with ${ended.code}`];
    const link = JSON.stringify(status?.link);
    return [
      `board ${side}, ${role}, link ${link}; ${alarms ?? ''}`,
      ...events,
      ...end,
      this.errors,
    ].join('\n');
  }
}

function watchdogDriver(): string {
  return compile({
    name: 'watchdog-driver',
    inputs: [SOURCE],
    commands: (out) => [
      [
        'gcc',
        '-shared',
        '-fPIC',
        '-O2',
        '-std=gnu11',
        '-Wall',
        '-Wextra',
        '-Werror',
        '-o',
        `${out}/driver.so`,
        SOURCE,
        '-ldl',
      ],
    ],
    result: 'driver.so',
  });
}

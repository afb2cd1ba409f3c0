// One board under test: its namespace, its folder (a file system of its own, so that it can run full),
// its configuration, its processes, and what it says on its control socket.
//
// The supervisor is the first process of a process namespace: what a power cut misses, because it is just
// being started, the kernel ends with it. Power and cards are the rig's (rig.ts).
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { ControlClient } from '../../firmware/board/control/client.ts';
import type { BoardEvent } from '../../firmware/board/events.ts';
import type { Status } from '../../firmware/board/status.ts';
import type { EngineChoice } from '../../firmware/host/engine-kinds.ts';
import { makeDisks, type PlantGuest } from '../guests/plant/plant.ts';
import { repoPath } from '../harness/index.ts';
import type { Namespace } from '../harness/netns.ts';
import { followControl } from './follow-control.ts';
import {
  BOARD_IP,
  FRONT_INTERFACE,
  GATEWAY_IP,
  GUEST_IP,
  GUEST_MAC,
  LOG_INTERFACE,
  other,
  SECOND_LOG_INTERFACE,
  type Side,
  TAP,
} from './network.ts';
import { childrenOf, descendantsOf, end, isRunning } from './processes.ts';

const FAVOUR = -15;
const FOLDER_MIB = 96;
const LARGE_PIECES = 16;
const LARGE_PIECE_BYTES = 256 << 10;
/** A link to the device in the board's folder: so it can be missing. */
const SERIAL_PORT = 'serial';
/** Shorter than on a real board, so that a hang is over soon. */
const WATCHDOG = { timeoutMs: 2000, petMs: 500 } as const;
/** The launched process ends with whoever launched it. */
const MORTAL = ['setpriv', '--pdeathsig', 'KILL'] as const;
/** And is the first of a process namespace, which ends with it. */
const ALL_AT_ONCE = [...MORTAL, 'unshare', '--pid', '--fork', '--kill-child'] as const;
/** Soon enough for a demonstration; a connection is believed for one and a half times this. */
const SCADA = `[mqtt]
servers = ["BROKER"]
plaintext = "allowed"
keepalive-s = 2
`;

/** Most faults are of a pair whose log has one cable and no other way. */
export interface LogWays {
  readonly secondCard?: boolean;
  readonly overFront?: boolean;
}

/** Holes, and some pieces that are not the same on both boards. */
function makeLargeDisk(path: string, bytes: number, side: Side): void {
  writeFileSync(path, '');
  truncateSync(path, bytes);
  const piece = Buffer.alloc(LARGE_PIECE_BYTES, side);
  const fd = openSync(path, 'r+');
  for (let i = 0; i < LARGE_PIECES; i++) {
    writeSync(fd, piece, 0, piece.length, Math.floor((i * bytes) / LARGE_PIECES / 4096) * 4096);
  }
  closeSync(fd);
}

/** Of a guest, behind a descriptor; nothing: another file. */
function memoryOf(path: string): { ino: number; blocks: number } {
  try {
    if (readlinkSync(path).startsWith('/memfd:twinstep-guest')) return statSync(path);
  } catch {
    // Closed meanwhile.
  }
  return { ino: 0, blocks: 0 };
}

export interface BoardOptions {
  readonly side: Side;
  readonly namespace: Namespace;
  /** Of this board; must exist. */
  readonly folder: string;
  readonly guest: PlantGuest;
  readonly pairingKeyFile: string;
  readonly serialPort: string;
  readonly ways?: LogWays;
  /** As in [guest]. */
  readonly engine?: EngineChoice;
  /** Lines for [limits]. */
  readonly more?: string;
  /** For the guest's command line. */
  readonly append?: string;
  /** A third disk of so many bytes, which the guest does not use by itself: mostly holes. */
  readonly largeBytes?: number;
  /** Where SCADA listens: the board's agent tells it (`twinstep scada`). */
  readonly broker?: string;
}

export class BoardUnderTest {
  readonly side: Side;
  readonly events: BoardEvent[] = [];
  /** The newest status; undefined while nobody answers. */
  status: Status | undefined;
  /** Called at every event and status of this board. */
  onNews: () => void = () => {};
  onEvent: (event: BoardEvent) => void = () => {};
  /** It died too often: nobody pets its watchdog any more, and the stand-in ends with its board. */
  onGivenUp: () => void = () => {};
  private readonly options: BoardOptions;
  private readonly folder: string;
  private supervisor: ChildProcess | undefined;
  private agent: ChildProcess | undefined;
  private control: ControlClient | undefined;
  private isClosed = false;

  constructor(options: BoardOptions) {
    this.options = options;
    this.side = options.side;
    const { namespace, folder } = options;
    namespace.run('mount', '-t', 'tmpfs', '-o', `size=${FOLDER_MIB}m`, 'twin', folder);
    // The same folder, seen from outside.
    this.folder = `/proc/${namespace.pid}/root${folder}`;
    makeDisks(this.folder);
    const { largeBytes } = options;
    if (largeBytes !== undefined) {
      makeLargeDisk(this.largeDisk, largeBytes, options.side);
    }
    mkdirSync(this.path('state'));
    this.plugSerialPort(true);
    writeFileSync(this.path('board.toml'), this.configuration());
    void this.listen();
  }

  /** A file of this board, from outside. */
  path(name: string): string {
    return join(this.folder, name);
  }

  /** Everything its processes wrote, not on its own file system, which may be full. */
  get outputFile(): string {
    return `${this.options.folder}.jsonl`;
  }

  get hasLargeDisk(): boolean {
    return this.options.largeBytes !== undefined;
  }

  get disks(): { files: string; journal: string } {
    return { files: this.path('files.img'), journal: this.path('journal.img') };
  }

  /** The third disk, where there is one; not on the board's own small file system. */
  get largeDisk(): string {
    return `${this.options.folder}-large.img`;
  }

  private configuration(): string {
    const { side, folder, guest, pairingKeyFile } = this.options;
    const { more = '', append: words = '', broker, engine = 'soft' } = this.options;
    const { ways = {}, largeBytes } = this.options;
    const cards = [LOG_INTERFACE, ...(ways.secondCard === true ? [SECOND_LOG_INTERFACE] : [])];
    const scada = broker === undefined ? '' : SCADA.replace('BROKER', broker);
    const append = 'console=ttyS0 acpi=off noapic nolapic quiet reboot=k twinstep.run=plant';
    const text = (value: string) => JSON.stringify(value);
    const inside = (name: string) => text(join(folder, name));
    const disks = [inside('files.img'), inside('journal.img')];
    if (largeBytes !== undefined) disks.push(text(this.largeDisk));
    return `[board]
name = "plant-${side}"
side = "${side}"
state-dir = ${inside('state')}
pairing-key-file = ${text(pairingKeyFile)}
[log]
interface = ${JSON.stringify(cards)}
over-front = ${ways.overFront === true}
[serial]
port = ${inside(SERIAL_PORT)}
[front]
interface = "${FRONT_INTERFACE}"
bind = "${BOARD_IP[side]}"
peer = "${BOARD_IP[other(side)]}"
gateway = "${GATEWAY_IP}"
[watchdog]
kind = "stand-in"
[guest]
kernel = ${text(guest.kernel)}
${guest.initrd === undefined ? '' : `initrd = ${text(guest.initrd)}`}
append = ${guest.kind === 'small' ? '""' : `"${append} twinstep.ip=${GUEST_IP}/24 ${words}"`}
memory-mib = ${guest.memoryMib}
engine = "${engine}"
tap = "${TAP}"
mac = "${GUEST_MAC}"
disks = [${disks.join(', ')}]
com1 = ${text(`socket=${join(folder, 'com1')}`)}
com2 = ${text(`socket=${join(folder, 'com2')}`)}
on-power-off = "restart"
[limits]
watchdog-timeout-ms = ${WATCHDOG.timeoutMs}
pet-ms = ${WATCHDOG.petMs}
${more}${scada}`;
  }

  get isOn(): boolean {
    return this.supervisor !== undefined;
  }

  start(): void {
    if (this.supervisor !== undefined) throw new Error(`board ${this.side} is on already`);
    // On its own machine a board shares its processor with nobody. (Without the right to it, it runs all the same.)
    const favoured = ['nice', '-n', '-10'];
    const child = this.inside([...favoured, ...ALL_AT_ONCE], 'board');
    child.once('exit', () => {
      if (this.supervisor === child) this.supervisor = undefined;
      this.onNews();
    });
    this.supervisor = child;
    if (this.options.broker !== undefined) this.agent = this.inside(MORTAL, 'scada');
  }

  /** `twinstep VERB` in this board's namespaces. */
  private launch(launcher: readonly string[], verb: string) {
    const { namespace, folder } = this.options;
    const command = [
      ...['--net', '--mount', '--target', String(namespace.pid), ...launcher],
      ...[process.execPath, '--enable-source-maps', repoPath('dist/firmware/cli/twinstep.js')],
      ...[verb, '--config', join(folder, 'board.toml')],
    ];
    return spawn('nsenter', command, { stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** What it writes is kept. */
  private inside(launcher: readonly string[], verb: string): ChildProcess {
    const child = this.launch(launcher, verb);
    const log = (bytes: Buffer) => {
      if (!this.isClosed) appendFileSync(this.outputFile, bytes);
    };
    child.stdout.on('data', (bytes: Buffer) => {
      log(bytes);
      if (bytes.includes('"BOARD-GIVEN-UP"')) this.onGivenUp();
    });
    child.stderr.on('data', log);
    return child;
  }

  /**
   * Real memory of the board process and of its guest, MiB. Not from its smaps: whoever reads those of gigabytes keeps
   * the process from getting memory meanwhile, for tens of milliseconds, and its garbage collection from its end.
   */
  residentMib(): number {
    const proc = `/proc/${this.boardPid()}`;
    const status = readFileSync(`${proc}/status`, 'utf8');
    const kib = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]);
    const memories = new Map<number, number>();
    for (const fd of readdirSync(`${proc}/fd`)) {
      const { ino, blocks } = memoryOf(`${proc}/fd/${fd}`);
      memories.set(ino, blocks * 512);
    }
    const guestBytes = [...memories.values()].reduce((sum, bytes) => sum + bytes, 0);
    return (kib('RssAnon') + kib('RssFile')) / 1024 + guestBytes / 2 ** 20;
  }

  /** kill -9 of the board process; its supervisor lives, tells of it and starts it again. */
  crash(): void {
    this.signal('SIGKILL');
  }

  /** The board process stands still until its watchdog ends it. */
  hang(): void {
    this.signal('SIGSTOP');
  }

  /** And goes on. */
  wake(): void {
    this.signal('SIGCONT');
  }

  /** Every process of it, as this namespace numbers them; who would tell of a death before who dies. */
  get processes(): number[] {
    const { supervisor, agent } = this;
    const agents = isRunning(agent) ? [agent.pid] : [];
    if (!isRunning(supervisor)) return agents;
    // The launcher ends when what it launched has ended.
    const launched = descendantsOf(supervisor.pid);
    return [...agents, ...(launched.length > 0 ? launched : [supervisor.pid])];
  }

  /** Resolves when nothing of it runs. */
  async hasEnded(): Promise<void> {
    const { supervisor, agent } = this;
    for (const child of [supervisor, agent]) if (isRunning(child)) await once(child, 'exit');
  }

  /**
   * `twinstep board` with the same configuration beside the one that runs, as a hand may type it: how it
   * ended, null if not in that time, and all it wrote.
   */
  async startAgain(withinMs: number): Promise<{ code: number | null; words: string }> {
    const beside = `--pid=/proc/${this.init()}/ns/pid`;
    const child = this.launch([beside, ...MORTAL], 'board');
    let words = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (bytes: Buffer) => {
        words += bytes;
      });
    const late = setTimeout(() => child.kill('SIGKILL'), withinMs);
    const [code] = await once(child, 'close');
    clearTimeout(late);
    return { code, words };
  }

  /** The serial port is there, or missing; who has it open keeps it. */
  plugSerialPort(isThere: boolean): void {
    if (isThere) symlinkSync(this.options.serialPort, this.path(SERIAL_PORT));
    else rmSync(this.path(SERIAL_PORT));
  }

  /** Not a byte more fits on the board's file system. */
  fillDisk(): void {
    const { namespace, folder } = this.options;
    const filler = join(folder, 'filler');
    namespace.run('sh', '-c', `dd if=/dev/zero of=${filler} bs=4k 2>/dev/null; true`);
  }

  emptyDisk(): void {
    this.options.namespace.run('rm', '-f', join(this.options.folder, 'filler'));
  }

  /** Every write beyond this offset of a file fails from now on, in that board process. */
  failWritesBeyond(bytes: number | undefined, pid: number): void {
    const limit = bytes === undefined ? 'unlimited' : String(bytes);
    const done = spawn('prlimit', ['--pid', String(pid), `--fsize=${limit}:`], {
      stdio: 'inherit',
    });
    done.unref();
  }

  private signal(signal: NodeJS.Signals): void {
    process.kill(this.boardPid(), signal);
  }

  /** As this namespace numbers it. */
  boardPid(): number {
    const [board] = childrenOf(this.init());
    if (board === undefined) throw new Error(`board ${this.side} has no board process now`);
    return board;
  }

  /** The first of its process namespace: the supervisor. */
  private init(): number {
    const [init] = childrenOf(this.supervisor?.pid ?? 0);
    if (init === undefined) throw new Error(`board ${this.side} is off`);
    return init;
  }

  async ask(request: { readonly do: string; readonly [field: string]: unknown }): Promise<void> {
    const { control } = this;
    if (control === undefined) throw new Error(`board ${this.side} does not answer`);
    const answer = await control.ask(request);
    if (!answer.ok) throw new Error(`board ${this.side}, ${request.do}: ${answer.why}`);
  }

  /** As it is now: sooner than the next that it tells. */
  async askStatus(): Promise<Status> {
    if (this.control === undefined) throw new Error(`board ${this.side} does not answer`);
    return await this.control.status();
  }

  private listen(): Promise<void> {
    return followControl({
      path: this.path('state/control.sock'),
      after: 0,
      isOver: () => this.isClosed,
      told: ({ event, status }) => this.hear(event, status),
      client: (client) => {
        this.control = client;
        if (client !== undefined) return this.favour();
        this.status = undefined;
        this.onNews();
      },
    });
  }

  /**
   * A real board shares its processor with nobody. Here it may share it with a whole machine, and the
   * kernel weighs sessions, of which the board process has one of its own. Without the right to it
   * the board runs all the same.
   */
  private favour(): void {
    try {
      writeFileSync(`/proc/${this.boardPid()}/autogroup`, String(FAVOUR));
    } catch {
      // No such kernel, no such right, or it has just died.
    }
  }

  private hear(event: BoardEvent | undefined, status: Status | undefined): void {
    if (event !== undefined) {
      this.events.push(event);
      this.onEvent(event);
    }
    if (status !== undefined) this.status = status;
    this.onNews();
  }

  /** The last lines it wrote, for a failure. */
  output(lines = 40): string {
    try {
      return readFileSync(this.outputFile, 'utf8').split('\n').slice(-lines).join('\n');
    } catch {
      return '(nothing)';
    }
  }

  async close(): Promise<void> {
    for (const pid of this.processes) end(pid);
    await this.hasEnded();
    this.isClosed = true;
    this.control?.close();
  }
}

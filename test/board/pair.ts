// Two arbiter loops in one process with everything real around them but guest, log link and gateway: reign
// files, a serial line of pseudo-terminals, UDP on loopback, stand-in watchdogs. Each way between them
// can be cut. At every gate call it is checked that never two gates are open.
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArbiterLoop, type ArbiterLoopParts } from '../../firmware/board/arbiter-loop.ts';
import { parseConfig } from '../../firmware/board/config/parse.ts';
import type { BoardConfig } from '../../firmware/board/config/types.ts';
import { EventLog } from '../../firmware/board/events.ts';
import { raiseAllPriorities } from '../../firmware/board/thread-priority.ts';
import { watchdog } from '../../native/index.ts';
import { BenchWatchdog } from '../../watchdog/bench-watchdog.ts';
import { PtyEnd } from '../watchdog/pty.ts';
import { FakeLink, FakeReplication } from './fake-replication.ts';

// As a board does: tests of milliseconds on a host that is busy. Without the right to, all the same.
raiseAllPriorities();

const KEY = new Uint8Array(32).fill(9);
const ADDRESS = { a: '127.0.0.1', b: '127.0.0.2' } as const;
/** Each board writes to a relay, so that the LAN can be cut. */
const RELAY = { a: '127.0.0.11', b: '127.0.0.12' } as const;

export const nowMs = (): number => watchdog.bootClockMs();

export type Side = 'a' | 'b';

export class BoardInPair {
  readonly events: EventLog;
  readonly folder: string;
  readonly config: BoardConfig;
  readonly replication: FakeReplication[] = [];
  readonly codes: string[] = [];
  answers = true;
  loop: ArbiterLoop | null = null;
  mute: string | null = null;
  private readonly victim: ChildProcess;
  private readonly pair: Pair;

  constructor(pair: Pair, side: Side, ttyPath: string, port: number) {
    this.pair = pair;
    this.folder = join(pair.folder, side);
    this.config = configOf(side, this.folder, ttyPath, port);
    this.events = new EventLog({ wallMs: () => Date.now(), monoMs: nowMs });
    this.events.listen(({ code, text }) => {
      this.codes.push(code);
      pair.story.push(`${nowMs().toFixed(0)} ${side} ${code} ${text}`);
    });
    // What the stand-in watchdog would kill: nobody of importance.
    this.victim = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
  }

  get guest(): FakeReplication {
    return this.replication.at(-1)!;
  }

  get stalls(): number {
    return this.codes.filter((code) => code === 'BOARD-STALLED').length;
  }

  /** The stand-in watchdog has reset it. */
  get wasBitten(): boolean {
    return existsSync(`${this.folder}.reset`);
  }

  async start(parts: Partial<ArbiterLoopParts> = {}): Promise<void> {
    const { config, folder } = this;
    const statusFile = `${folder}.reset`;
    const timeoutMs = config.limits.watchdogTimeoutMs;
    this.loop = await ArbiterLoop.start({
      config,
      pairingKey: KEY,
      events: this.events,
      makeReplication: (events) => {
        const replication = new FakeReplication(this.pair.link, events, nowMs, () =>
          this.pair.checkGates(),
        );
        this.replication.push(replication);
        return replication;
      },
      watchdog: new BenchWatchdog({ group: this.victim.pid!, timeoutMs, statusFile }),
      witness: { probe: () => this.answers, stop: () => {}, trouble: null },
      nowMs,
      wallMs: () => Date.now(),
      onMute: (why) => {
        this.mute = why;
      },
      ...parts,
    });
  }

  async stop(): Promise<void> {
    await this.loop?.close();
    this.loop = null;
  }

  async end(): Promise<void> {
    await this.stop();
    if (this.victim.pid !== undefined && this.victim.exitCode === null) this.victim.kill('SIGKILL');
  }
}

export class Pair {
  readonly folder = mkdtempSync(join(tmpdir(), 'twinstep-pair-'));
  readonly link = new FakeLink();
  readonly story: string[] = [];
  readonly a: BoardInPair;
  readonly b: BoardInPair;
  frontIsUp = true;
  private readonly ttys = [new PtyEnd(), new PtyEnd()] as const;
  private readonly relays: Socket[] = [];
  private readonly port = 20_000 + (process.pid % 20_000);
  twoGates: string | null = null;

  get stalls(): number {
    return this.a.stalls + this.b.stalls;
  }

  static async make(): Promise<Pair> {
    const pair = new Pair();
    await pair.relay('a', 'b');
    await pair.relay('b', 'a');
    return pair;
  }

  private constructor() {
    this.a = new BoardInPair(this, 'a', this.ttys[0].slavePath, this.port);
    this.b = new BoardInPair(this, 'b', this.ttys[1].slavePath, this.port);
    this.serial(true);
  }

  serial(isUp: boolean): void {
    const [one, other] = this.ttys;
    one.onData = (bytes) => isUp && other.write(bytes);
    other.onData = (bytes) => isUp && one.write(bytes);
  }

  /** All ways between the boards. */
  cutAll(isCut: boolean): void {
    this.link.isUp = !isCut;
    this.frontIsUp = !isCut;
    this.serial(!isCut);
  }

  checkGates(): void {
    const modes = [this.a, this.b].map(({ replication }) => replication.at(-1)?.gateIs ?? 'closed');
    const [one, other] = modes;
    if (one === other && one !== 'closed') this.twoGates ??= `both ${one}`;
  }

  async end(): Promise<void> {
    await this.a.end();
    await this.b.end();
    for (const tty of this.ttys) tty.close();
    for (const socket of this.relays) socket.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async relay(from: Side, to: Side): Promise<void> {
    const socket = createSocket('udp4');
    socket.on('message', (bytes) => {
      if (this.frontIsUp) socket.send(bytes, this.port, ADDRESS[to], () => {});
    });
    this.relays.push(socket);
    await new Promise<void>((resolve) => socket.bind(this.port, RELAY[from], resolve));
  }
}

function configOf(side: Side, folder: string, tty: string, port: number): BoardConfig {
  const { config, problems } = parseConfig(
    `
[board]
name = "board-${side}"
side = "${side}"
state-dir = "${folder}"
[log]
interface = "none"
over-front = false
[serial]
port = "${tty}"
[front]
interface = "lo"
bind = "${ADDRESS[side]}"
peer = "${RELAY[side]}"
gateway = "127.0.0.9"
port = ${port}
[watchdog]
kind = "stand-in"
[guest]
kernel = "none"
[limits]
seek-ms = 1000
isolated-ms = 60000
watchdog-timeout-ms = 2000
pet-ms = 200
`,
    '/',
  );
  if (problems.length > 0) throw new Error(problems.map(({ text }) => text).join('\n'));
  return config;
}

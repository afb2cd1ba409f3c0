// QEMU's COLO, as docs/COLO-FT.txt of QEMU sets it up, without a disk: two QEMU processes with the plant's
// guest run side by side in this process's network namespace, the primary compares what both say.
//
//     plant (bridge) ── tap-primary ── filter-mirror ──9003──▶ filter-redirector f1 ── secondary's guest
//                            ▲ colo-compare ◀────────9004──── filter-redirector f2 ◀─┘ (filter-rewriter)
//
// Everything between the two goes over lo and nothing else does, so lo's counter is the link. The
// emulator is TCG; colo-wait.c says what that needs.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { setTimeout as passed } from 'node:timers/promises';
import { Transcript } from '../../guest/console.ts';
import { cpio } from '../../guests/linux/cpio.ts';
import type { PlantGuest } from '../../guests/plant/plant.ts';
import { compile } from '../../harness/compile.ts';
import { ip } from '../../harness/netns.ts';
import { CLIENT_IP, GUEST_IP, GUEST_MAC, PLANT_INTERFACE, RTO_MIN_MS } from '../../twin/network.ts';

const COMMAND_LINE = 'console=ttyS0 quiet acpi=off noapic nolapic reboot=k';
/** The plant's servers without its writers: what these count differs between two guests that run freely. */
const SCRIPT = { name: 'colo', text: 'exec plant serve\n' };
const PORT = { mirror: 9003, compare: 9004, migration: 9998 } as const;
const BOOT_MS = 120_000;
const IN_STEP_MS = 60_000;
const POLL_MS = 20;
const MONITOR_FD = 3;

/** Where the client lives; needs a namespace of its own (enterNamespace). */
export function makePlant(): void {
  writeFileSync('/proc/sys/net/ipv6/conf/all/disable_ipv6', '1');
  ip('link', 'add', PLANT_INTERFACE, 'type', 'bridge');
  ip('link', 'set', PLANT_INTERFACE, 'address', '02:77:00:00:00:01', 'up');
  ip('address', 'add', `${CLIENT_IP}/24`, 'dev', PLANT_INTERFACE);
  const route = ['10.77.0.0/24', 'dev', PLANT_INTERFACE, 'src', CLIENT_IP];
  ip('route', 'replace', ...route, 'rto_min', `${RTO_MIN_MS}ms`);
}

/** Bytes between the two so far. */
export function linkBytes(): number {
  const [, bytes] = /^ *lo: *(\d+)/m.exec(readFileSync('/proc/self/net/dev', 'utf8')) ?? [];
  return Number(bytes);
}

interface Word {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
  readonly timestamp?: { readonly seconds: number; readonly microseconds: number };
}

const ENDED: Word = { error: { desc: 'it has ended' } };

/** One QEMU with the guest, and its monitor. */
export class Qemu {
  /** How long the guest stood still each time, by QEMU's own clock. */
  readonly pausesMs: number[] = [];
  private readonly name: string;
  private readonly child: ChildProcess;
  private readonly monitor: Duplex;
  private readonly console = new Transcript();
  private readonly waiting: ((word: Word) => void)[] = [];
  private stoppedMs: number | undefined;
  private errors = '';

  constructor(guest: PlantGuest, folder: string, name: string, more: readonly string[] = []) {
    this.name = name;
    const tap = `tap-${name}`;
    ip('tuntap', 'add', 'dev', tap, 'mode', 'tap');
    ip('link', 'set', tap, 'master', PLANT_INTERFACE, 'up');
    const command = [
      ...['--pdeathsig', 'KILL', 'qemu-system-x86_64', '-accel', 'tcg', '-m', `${guest.memoryMib}`],
      ...['-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
      ...['-chardev', `socket,id=monitor,fd=${MONITOR_FD}`, '-mon', 'chardev=monitor,mode=control'],
      ...['-netdev', `tap,id=n0,ifname=${tap},script=no,downscript=no,vhost=off,vnet_hdr=off`],
      ...['-device', `virtio-net-pci,netdev=n0,mac=${GUEST_MAC}`],
      ...['-kernel', guest.kernel, '-initrd', initrdOf(guest, folder), '-append'],
      `${COMMAND_LINE} twinstep.run=${SCRIPT.name} twinstep.ip=${GUEST_IP}/24`,
      ...more,
    ];
    this.child = spawn('setpriv', command, {
      env: { ...process.env, LD_PRELOAD: waitLibrary() },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    const [, stdout, stderr, monitor] = this.child.stdio;
    stdout?.on('data', (chunk) => this.console.add(String(chunk)));
    stderr?.on('data', (chunk) => {
      this.errors += chunk;
    });
    this.child.once('close', () => {
      this.console.end(`QEMU ended: ${this.errors}`);
      for (const answer of this.waiting.splice(0)) answer(ENDED);
    });
    this.monitor = monitor as Duplex;
    this.monitor.on('error', () => {});
    createInterface({ input: this.monitor }).on('line', (line) =>
      this.hear(JSON.parse(line) as Word),
    );
    this.ask('qmp_capabilities').catch(() => {});
  }

  async serving(): Promise<void> {
    await this.console.waitFor(/@serving/, BOOT_MS);
  }

  /** A command of the monitor; throws with its words. */
  async ask(execute: string, args?: object): Promise<unknown> {
    if (this.hasEnded) throw this.failed(`${execute}: it has ended`);
    const answer = new Promise<Word>((resolve) => this.waiting.push(resolve));
    this.monitor.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    const { error, return: result } = await answer;
    if (error !== undefined) throw this.failed(`${execute}: ${error.desc}`);
    return result;
  }

  /** Asks until the answer holds that. */
  async until(execute: string, isIt: (answer: string) => boolean): Promise<void> {
    const endMs = performance.now() + IN_STEP_MS;
    for (;;) {
      const answer = JSON.stringify(await this.ask(execute));
      if (isIt(answer)) return;
      if (performance.now() > endMs) throw this.failed(`${execute} still says ${answer}`);
      await passed(POLL_MS);
    }
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }

  async close(): Promise<void> {
    if (!this.hasEnded) {
      const ended = once(this.child, 'exit');
      this.kill();
      await ended;
    }
    ip('link', 'del', `tap-${this.name}`);
  }

  private get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  private hear({ event, timestamp, ...word }: Word): void {
    if (event === undefined) {
      // The greeting comes before anything was asked and is neither.
      if ('return' in word || 'error' in word) this.waiting.shift()?.(word);
      return;
    }
    const nowMs = (timestamp?.seconds ?? 0) * 1000 + (timestamp?.microseconds ?? 0) / 1000;
    if (event === 'STOP') this.stoppedMs = nowMs;
    if (event !== 'RESUME' || this.stoppedMs === undefined) return;
    this.pausesMs.push(nowMs - this.stoppedMs);
    this.stoppedMs = undefined;
  }

  private failed(why: string): Error {
    return new Error(`QEMU ${this.name}, ${why}\n${this.errors}`);
  }
}

/** Two of them in COLO. */
export class ColoPair {
  readonly primary: Qemu;
  private readonly secondary: Qemu;

  private constructor(primary: Qemu, secondary: Qemu) {
    this.primary = primary;
    this.secondary = secondary;
  }

  /** Resolves when both guests run and are compared. */
  static async start(guest: PlantGuest, folder: string): Promise<ColoPair> {
    const primary = new Qemu(guest, folder, 'primary', primaryOptions(folder));
    await primary.serving();
    const secondary = new Qemu(guest, folder, 'secondary', secondaryOptions());
    await secondary.until('query-chardev', (answer) => !answer.includes('disconnected:'));
    for (const qemu of [secondary, primary])
      await qemu.ask('migrate-set-capabilities', {
        capabilities: [{ capability: 'x-colo', state: true }],
      });
    // The limit of an ordinary migration, 128 MiB/s, would be part of each checkpoint's pause.
    await primary.ask('migrate-set-parameters', { 'max-bandwidth': 10 ** 10 });
    await primary.ask('migrate', { uri: `tcp:127.0.0.1:${PORT.migration}` });
    await primary.until('query-migrate', (answer) => {
      if (answer.includes('"failed"')) throw new Error(`the migration failed: ${answer}`);
      return answer.includes('"colo"');
    });
    for (const qemu of [secondary, primary])
      await qemu.until('query-status', (answer) => answer.includes('"running":true'));
    primary.pausesMs.length = 0;
    return new ColoPair(primary, secondary);
  }

  /**
   * The primary dies and the secondary is told so at once: QEMU brings no detection, so none is in what
   * a client sees. Without the two redirectors its frames go to its own tap.
   */
  async failOver(): Promise<void> {
    this.primary.kill();
    await Promise.all([
      this.secondary.ask('x-colo-lost-heartbeat'),
      this.secondary.ask('object-del', { id: 'f2' }),
      this.secondary.ask('object-del', { id: 'f1' }),
    ]);
  }

  async close(): Promise<void> {
    await this.primary.close();
    await this.secondary.close();
  }
}

function primaryOptions(folder: string): string[] {
  const server = 'server=on,wait=off';
  const tcp = (port: number) => `host=127.0.0.1,port=${port},${server}`;
  const [compare0, out] = [join(folder, 'compare0'), join(folder, 'out')];
  return [
    ...['-chardev', `socket,id=mirror0,${tcp(PORT.mirror)}`],
    ...['-chardev', `socket,id=compare1,${tcp(PORT.compare)}`],
    ...['-chardev', `socket,id=compare0,path=${compare0},${server}`],
    ...['-chardev', `socket,id=compare0-0,path=${compare0}`],
    ...['-chardev', `socket,id=compare_out,path=${out},${server}`],
    ...['-chardev', `socket,id=compare_out0,path=${out}`],
    ...['-object', 'filter-mirror,id=m0,netdev=n0,queue=tx,outdev=mirror0'],
    ...['-object', 'filter-redirector,id=redire0,netdev=n0,queue=rx,indev=compare_out'],
    ...['-object', 'filter-redirector,id=redire1,netdev=n0,queue=rx,outdev=compare0'],
    ...['-object', 'iothread,id=iothread1', '-object'],
    'colo-compare,id=comp0,primary_in=compare0-0,secondary_in=compare1,outdev=compare_out0,iothread=iothread1',
  ];
}

function secondaryOptions(): string[] {
  const tcp = (port: number) => `host=127.0.0.1,port=${port},reconnect=1`;
  return [
    ...['-chardev', `socket,id=red0,${tcp(PORT.mirror)}`],
    ...['-chardev', `socket,id=red1,${tcp(PORT.compare)}`],
    ...['-object', 'filter-redirector,id=f1,netdev=n0,queue=tx,indev=red0'],
    ...['-object', 'filter-redirector,id=f2,netdev=n0,queue=rx,outdev=red1'],
    ...['-object', 'filter-rewriter,id=rew0,netdev=n0,queue=all'],
    ...['-incoming', `tcp:127.0.0.1:${PORT.migration}`],
  ];
}

/** The plant's initramfs and our script in an archive behind it. */
function initrdOf({ initrd = '' }: PlantGuest, folder: string): string {
  const path = join(folder, 'initrd.cpio');
  const data = Buffer.from(SCRIPT.text);
  const script = cpio([{ path: `scripts/${SCRIPT.name}`, kind: 'file', mode: 0o755, data }]);
  writeFileSync(path, Buffer.concat([readFileSync(initrd), script]));
  return path;
}

function waitLibrary(): string {
  const source = 'test/bench/peers/colo-wait.c';
  const flags = ['-O2', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC'];
  return compile({
    name: 'colo-wait',
    inputs: [source],
    commands: (out) => [['gcc', ...flags, '-o', `${out}/colo-wait.so`, source]],
    result: 'colo-wait.so',
  });
}

// One Linux guest with everything a guest can have, at a terminal, in the network of this process: what a
// person and a plant do with it, each as one step that checks itself.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { encodeFrame, FrameDecoder } from '../../firmware/host/net/frame-stream.ts';
import type { LinuxGuest } from '../guests/linux/assemble.ts';
import {
  arpReply,
  ETHERTYPE,
  ethernet,
  icmpEcho,
  ipv4,
  PROTOCOL,
  parseEthernet,
  parseIpv4,
} from '../harness/frames.ts';
import { assert } from '../harness/index.ts';
import { ip } from '../harness/netns.ts';
import { guestArgs } from './linux-guest.ts';
import { startOnTerminal, type Terminal } from './twinstep.ts';

/** The sanitizer build takes its time. */
export const PATIENCE = process.env.TWINSTEP_ADDON === 'Debug' ? 10 : 1;
export const BOOT_MS = 120_000 * PATIENCE;
export const STEP_MS = 60_000 * PATIENCE;

export const TAP = 'guest0';
export const HOST_IP = '10.79.0.1';
export const GUEST_IP = '10.79.0.2';
export const GUEST_MAC = '02:79:00:00:00:02';
const CABLE = { here: '10.80.0.1', there: '10.80.0.2', mac: '02:80:00:00:00:01' } as const;
/** What the benchmark leaves in /tmp/numbers. */
const NUMBERS = { md5: '1c0f34fee7176dc367bead8f96cba6bc', bytes: 228_894 } as const;

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

export class LinuxRig {
  readonly terminal: Terminal;
  readonly disk: string;
  readonly com2: string;
  private readonly folder = mkdtempSync(join(tmpdir(), 'twinstep-linux-'));
  readonly console: string;
  readonly cable: string;
  private readonly busybox: string;

  /** Needs a network namespace of its own. With `log` the guest is recorded into that file. */
  constructor(guest: LinuxGuest, { log }: { log?: string } = {}) {
    const at = (name: string) => join(this.folder, name);
    [this.disk, this.com2, this.console] = [at('disk.img'), at('com2'), at('console')];
    this.cable = at('cable');
    this.busybox = guest.busybox;
    LinuxRig.makeDisk(this.disk);
    ip('tuntap', 'add', 'dev', TAP, 'mode', 'tap');
    ip('address', 'add', `${HOST_IP}/24`, 'dev', TAP);
    ip('link', 'set', TAP, 'up');
    const [command = '', ...files] = guestArgs(guest, 'shell', `${GUEST_IP}/24`);
    this.terminal = startOnTerminal(
      ...(log === undefined ? [command] : ['record', '--log', log]),
      ...files,
      ...['--disk', this.disk, '--com2', `socket=${this.com2}`],
      ...['--console', `socket=${this.console}`],
      ...['--net', `tap=${TAP}`, '--mac', GUEST_MAC, '--net', `socket=${this.cable}`],
    );
  }

  /** As the rig's own is before the guest runs. */
  static makeDisk(path: string): void {
    writeFileSync(path, '');
    truncateSync(path, 16 << 20);
  }

  async close(): Promise<void> {
    await this.terminal.running.kill();
    this.terminal.close();
    ip('tuntap', 'del', 'dev', TAP, 'mode', 'tap');
    rmSync(this.folder, { recursive: true });
  }

  async booted(): Promise<void> {
    await this.terminal.running.console.waitFor(/@ready shell/, BOOT_MS);
    await this.terminal.running.console.waitFor(/# /, STEP_MS);
  }

  /** What a command printed; it must succeed. */
  shell(command: string): Promise<string> {
    return this.terminal.running.shell(command, STEP_MS);
  }

  async bench(): Promise<void> {
    const text = await this.shell('sh /scripts/bench');
    assert.match(text, /^sum 667472$/m);
    assert.match(text, /^awk 2262443021313$/m);
    assert.match(text, /^4dee400da20bb6b7cfd1721c3383c86bb26571402edfe6631109445b28632130 {2}-$/m);
    assert.match(text, new RegExp(`^${NUMBERS.md5} {2}/tmp/numbers$`, 'm'));
    assert.match(text, /^100$/m);
  }

  /** What the benchmark leaves for `delivers` and `serialBothWays`, without the benchmark. */
  async counts(): Promise<void> {
    await this.shell('seq 1 40000 > /tmp/numbers');
  }

  /** Ends the shell, which restarts the machine. */
  async reboot(): Promise<void> {
    this.terminal.running.type('exit\n');
    await this.terminal.running.console.waitFor(/@done shell/, STEP_MS);
    await this.booted();
  }

  /** A ping has a deadline of its own, which a busy host may miss: five tries are allowed. */
  async answersPing(): Promise<boolean> {
    for (let tries = 0; tries < 5; tries++) if (await this.answersOnePing()) return true;
    return false;
  }

  private async answersOnePing(): Promise<boolean> {
    const args = ['ping', '-c', '1', '-W', '5', GUEST_IP];
    const [code] = await once(spawn(this.busybox, args, { stdio: 'ignore' }), 'exit');
    return code === 0;
  }

  /** Starts the numbering echo server in the guest. */
  async serve(): Promise<void> {
    this.terminal.running.type('sh /scripts/serve </dev/null &\n');
    await this.terminal.running.console.waitFor(/@serving/, STEP_MS);
  }

  talk(first: number, count: number): Promise<void> {
    return talk(first, count);
  }

  /** The guest connects to us and gets these bytes. */
  async fetches(bytes: Uint8Array): Promise<void> {
    const server = createServer((socket) => socket.end(bytes)).listen(5000, HOST_IP);
    const text = await this.shell(`nc ${HOST_IP} 5000 </dev/null | sha256sum`);
    server.close();
    assert.match(text, sha256(bytes));
  }

  /** The guest connects to us and sends what the benchmark left. */
  async delivers(): Promise<void> {
    const received = new Promise<Uint8Array>((resolve) => {
      const sink = createServer((socket) => {
        sink.close();
        const chunks: Buffer[] = [];
        socket.on('data', (chunk) => chunks.push(chunk));
        socket.on('end', () => resolve(Buffer.concat(chunks)));
      }).listen(5001, HOST_IP);
    });
    await this.shell(`nc ${HOST_IP} 5001 < /tmp/numbers`);
    assert.is(md5(await received), NUMBERS.md5);
  }

  /** Bytes into a serial device of the guest, and the benchmark's out of it. */
  async serialBothWays(device: 'ttyS1' | 'hvc0', sent: Uint8Array): Promise<void> {
    // Opening a port empties its receiver: open it before anything comes.
    await this.shell(`exec 3<>/dev/${device}; stty raw -echo <&3`);
    const socket = connect(device === 'ttyS1' ? this.com2 : this.console);
    await once(socket, 'connect');
    const hash = this.shell(`head -c ${sent.length} <&3 | sha256sum`);
    socket.write(sent);
    assert.match(await hash, sha256(sent));
    const numbers = takeBytes(socket, NUMBERS.bytes);
    await this.shell('cat /tmp/numbers >&3; exec 3>&-');
    assert.is(md5(await numbers), NUMBERS.md5);
    socket.destroy();
  }

  /** Pings the second network card through the socket it is on, being a whole network by ourselves. */
  async pingsOverCable(data: Uint8Array): Promise<void> {
    await this.shell(`ip address add ${CABLE.there}/24 dev eth1; ip link set eth1 up`);
    const to = /(..:){5}../.exec(await this.shell('cat /sys/class/net/eth1/address'))![0];
    const peer = connect(this.cable);
    const payload = icmpEcho(8, 7, 1, data);
    const ping = ipv4({ from: CABLE.here, to: CABLE.there, protocol: PROTOCOL.icmp, payload });
    const send = (frame: Uint8Array) => void peer.write(encodeFrame(frame));
    send(ethernet({ to, from: CABLE.mac, type: ETHERTYPE.ipv4, payload: ping }));
    for await (const frame of framesOf(peer)) {
      const reply = arpReply(frame, CABLE.here, CABLE.mac);
      if (reply !== undefined) send(reply);
      const { type, payload: packet } = parseEthernet(frame);
      if (type !== ETHERTYPE.ipv4 || parseIpv4(packet).protocol !== PROTOCOL.icmp) continue;
      assert.is(Buffer.compare(parseIpv4(packet).payload, icmpEcho(0, 7, 1, data)), 0);
      break;
    }
    peer.destroy();
  }

  /** By e2fsck where it is installed, else by the superblock's magic number. */
  hasExt2(): boolean {
    const check = spawnSync('e2fsck', ['-fn', this.disk], { encoding: 'utf8' });
    if (check.error === undefined) return check.status === 0;
    const fd = openSync(this.disk, 'r');
    const magic = Buffer.alloc(2);
    readSync(fd, magic, 0, 2, 1024 + 56);
    closeSync(fd);
    return magic.readUInt16LE(0) === 0xef53;
  }
}

/** A client of the numbering echo server in the guest. */
export async function talk(first: number, count: number): Promise<void> {
  const socket = connect(7, GUEST_IP);
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  for (let i = 1; i <= count; i++) {
    socket.write(`line ${first + i}\n`);
    const { value } = await lines.next();
    assert.is(value, `${i} line ${first + i}`);
  }
  socket.destroy();
}

async function* framesOf(socket: Socket): AsyncGenerator<Uint8Array> {
  const decoder = new FrameDecoder();
  for await (const bytes of socket) yield* decoder.push(bytes);
}

async function takeBytes(socket: Socket, count: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let have = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk);
    have += chunk.length;
    if (have >= count) break;
  }
  return Buffer.concat(chunks);
}

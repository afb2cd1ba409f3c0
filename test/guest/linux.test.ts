// Debian Linux through the real command: a person at a terminal, the benchmark with its known results,
// a disk that outlives a reboot, TCP both ways over a TAP, random bytes over a second serial line.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
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
import { assert, needs, seededRandom, suite } from '../harness/index.ts';
import { enterNamespace, ip } from '../harness/netns.ts';
import { assembled, guestArgs } from './linux-guest.ts';
import { startOnTerminal, type Terminal } from './twinstep.ts';

// Before the namespace, where there is no archive.
const { guest, why = '' } = assembled();
await enterNamespace();
const test = suite('guest/linux');
test.needs(needs.networkNamespaces());
test.needs(needs.device('/dev/net/tun'));
test.needs({ met: guest !== undefined, why });

const BOOT_MS = 120_000;
const HOST = '10.79.0.1';
const GUEST = '10.79.0.2';
const MAC = '02:79:00:00:00:02';
const folder = mkdtempSync(join(tmpdir(), 'twinstep-linux-'));
const disk = join(folder, 'disk.img');
const line = join(folder, 'com2');
const console2 = join(folder, 'console');
const cable = join(folder, 'cable');
const random = seededRandom();
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');
/** What the benchmark leaves in /tmp/numbers. */
const NUMBERS_MD5 = '1c0f34fee7176dc367bead8f96cba6bc';
const NUMBERS_BYTES = 228_894;

let terminal: Terminal;
const shell = (command: string) => terminal.running.shell(command);

test.before(() => {
  writeFileSync(disk, '');
  truncateSync(disk, 16 << 20);
  ip('tuntap', 'add', 'dev', 'guest0', 'mode', 'tap');
  ip('address', 'add', `${HOST}/24`, 'dev', 'guest0');
  ip('link', 'set', 'guest0', 'up');
});
test.after(async () => {
  await terminal?.running.kill();
  terminal?.close();
  rmSync(folder, { recursive: true });
});

test(
  'boots to a shell on the terminal, which is raw and hears every key',
  async () => {
    const args = guestArgs(guest!, 'shell', `${GUEST}/24`);
    const hardware = [
      '--disk',
      disk,
      '--net',
      'tap=guest0',
      '--mac',
      MAC,
      '--net',
      `socket=${cable}`,
    ];
    const lines = ['--com2', `socket=${line}`, '--console', `socket=${console2}`];
    terminal = startOnTerminal(...args, ...hardware, ...lines);
    assert.match(terminal.settings(), ' icanon ');
    await terminal.running.console.waitFor(/@ready shell/, BOOT_MS);
    await terminal.running.console.waitFor(/# /);
    assert.match(terminal.settings(), '-icanon');
    assert.match(terminal.running.stderr.text, 'Ctrl-] leaves');
    assert.match(await shell('uname -srm'), /Linux 6\.\d+\.\d+\S* x86_64/);
    // Ctrl-C is the guest's. (Before the command runs the shell itself would read it.)
    terminal.running.type('echo asl""eep; sleep 1000\n');
    await terminal.running.console.waitFor(/asleep/);
    terminal.running.type('\x03');
    await shell('true');
    assert.match(await shell('cat /sys/class/net/eth0/address'), MAC);
  },
  { timeoutMs: BOOT_MS },
);

test(
  'computes what every engine computes',
  async () => {
    const text = await shell('sh /scripts/bench');
    assert.match(text, /^sum 667472$/m);
    assert.match(text, /^awk 2262443021313$/m);
    assert.match(text, /^4dee400da20bb6b7cfd1721c3383c86bb26571402edfe6631109445b28632130 {2}-$/m);
    assert.match(text, /^1c0f34fee7176dc367bead8f96cba6bc {2}\/tmp\/numbers$/m);
    assert.match(text, /^100$/m);
  },
  { timeoutMs: BOOT_MS },
);

test(
  'the clock follows real time',
  async () => {
    const started = performance.now();
    const before = Number(/^(\d+\.\d+) /m.exec(await shell('cat /proc/uptime'))![1]);
    await shell('sleep 2');
    const after = Number(/^(\d+\.\d+) /m.exec(await shell('cat /proc/uptime'))![1]);
    const realS = (performance.now() - started) / 1000;
    assert.ok(after - before >= 2 && after - before <= realS + 0.1, `${after - before} ${realS}`);
    const date = Number(/^(\d{10})$/m.exec(await shell('date +%s'))![1]);
    // The PC's clock has whole seconds, and on a loaded host the first of them passes early.
    const offS = date - Date.now() / 1000;
    assert.ok(Math.abs(offS) < 6, `${offS} s off`);
  },
  { timeoutMs: 30_000 },
);

test('answers pings over the TAP', async () => {
  const count = 20;
  for (let i = 0; i < count; i++) assert.ok(await answersPing(), `ping ${i}`);
  assert.match(await shell(`ping -c 3 ${HOST}`), '3 packets received');
});

test(
  'serves TCP',
  async () => {
    terminal.running.type('sh /scripts/serve </dev/null &\n');
    await terminal.running.console.waitFor(/@serving/);
    const clients = Array.from({ length: 3 }, () => random.int(1000));
    await Promise.all(clients.map((first) => talk(first, 50)));
    await quit();
  },
  { timeoutMs: 60_000 },
);

test(
  'connects out, and moves a file each way unchanged',
  async () => {
    const sent = random.bytes(300_000);
    const server = createServer((socket) => socket.end(sent)).listen(5000, HOST);
    assert.match(await shell(`nc ${HOST} 5000 </dev/null | sha256sum`), sha256(sent));
    server.close();

    const received = new Promise<Uint8Array>((resolve) => {
      const sink = createServer((socket) => {
        sink.close();
        const chunks: Buffer[] = [];
        socket.on('data', (chunk) => chunks.push(chunk));
        socket.on('end', () => resolve(Buffer.concat(chunks)));
      }).listen(5001, HOST);
    });
    await shell(`nc ${HOST} 5001 < /tmp/numbers`);
    assert.is(
      createHash('md5')
        .update(await received)
        .digest('hex'),
      '1c0f34fee7176dc367bead8f96cba6bc',
    );
  },
  { timeoutMs: 60_000 },
);

test('a second network card on a socket answers whoever is at the other end', async () => {
  await shell('ip address add 10.80.0.2/24 dev eth1; ip link set eth1 up');
  const peer = connect(cable);
  await once(peer, 'connect');
  const frames = framesOf(peer);
  const ours = '02:80:00:00:00:01';
  const data = random.bytes(1000);
  const ping = ipv4({
    ...{ from: '10.80.0.1', to: '10.80.0.2', protocol: PROTOCOL.icmp },
    payload: icmpEcho(8, 7, 1, data),
  });
  const to = /(..:){5}../.exec(await shell('cat /sys/class/net/eth1/address'))![0];
  peer.write(encodeFrame(ethernet({ to, from: ours, type: ETHERTYPE.ipv4, payload: ping })));
  for await (const frame of frames) {
    const reply = arpReply(frame, '10.80.0.1', ours);
    if (reply !== undefined) peer.write(encodeFrame(reply));
    const { type, payload } = parseEthernet(frame);
    if (type !== ETHERTYPE.ipv4 || parseIpv4(payload).protocol !== PROTOCOL.icmp) continue;
    const echo = parseIpv4(payload).payload;
    assert.is(Buffer.compare(echo, icmpEcho(0, 7, 1, data)), 0);
    break;
  }
  peer.destroy();
});

test(
  'a virtio console passes bytes both ways',
  async () => {
    const socket = connect(console2);
    await once(socket, 'connect');
    await shell('exec 4<>/dev/hvc0; stty raw -echo <&4');
    const sent = random.bytes(20_000);
    const hash = shell(`head -c ${sent.length} <&4 | sha256sum`);
    socket.write(sent);
    assert.match(await hash, sha256(sent));
    const numbers = takeBytes(socket, NUMBERS_BYTES);
    await shell('cat /tmp/numbers >&4');
    assert.is(md5(await numbers), NUMBERS_MD5);
    socket.destroy();
  },
  { timeoutMs: 60_000 },
);

test(
  'random bytes pass the second serial line both ways',
  async () => {
    // Opening a port empties its receiver: open it before anything comes.
    await shell('exec 3<>/dev/ttyS1; stty raw -echo -crtscts <&3');
    const socket = connect(line);
    await once(socket, 'connect');
    const sent = random.bytes(50_000);
    const hash = shell(`head -c ${sent.length} <&3 | sha256sum`);
    socket.write(sent);
    assert.match(await hash, sha256(sent));

    const numbers = takeBytes(socket, NUMBERS_BYTES);
    await shell('cat /tmp/numbers >&3');
    assert.is(
      createHash('md5')
        .update(await numbers)
        .digest('hex'),
      '1c0f34fee7176dc367bead8f96cba6bc',
    );
    socket.destroy();
  },
  { timeoutMs: 60_000 },
);

test(
  'a disk written before a reboot is whole after it, and the host can read it',
  async () => {
    assert.match(await shell('sh /scripts/disk'), '@disk written');
    terminal.running.type('exit\n');
    await terminal.running.console.waitFor(/@done shell/);
    await terminal.running.console.waitFor(/@ready shell/, BOOT_MS);
    await terminal.running.console.waitFor(/# /);
    assert.match(await shell('sh /scripts/disk'), '@disk verified');
    assert.ok(isExt2(disk));
    assert.ok(await answersPing(), 'the network is back too');
  },
  { timeoutMs: BOOT_MS },
);

test('an idle guest costs next to nothing', async () => {
  await shell('true');
  const cpuMs = () => processCpuMs(terminal.running.pid);
  const [cpu, started] = [cpuMs(), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const percent = (100 * (cpuMs() - cpu)) / (performance.now() - started);
  assert.ok(percent < 10, `${percent.toFixed(1)} % of a core`);
});

test('Ctrl-] leaves, and the terminal is as before', async () => {
  terminal.running.type('\x1d');
  assert.is(await terminal.running.ended(), 0);
  assert.match(terminal.settings(), ' icanon ');
  assert.ok(!existsSync(line), 'its socket is gone');
});

async function answersPing(): Promise<boolean> {
  const child = spawn(guest!.busybox, ['ping', '-c', '1', '-W', '5', GUEST], { stdio: 'ignore' });
  const [code] = await once(child, 'exit');
  return code === 0;
}

/** A client of the guest's echo server, which numbers the lines it gets. */
async function talk(first: number, count: number): Promise<void> {
  const socket = connect(7, GUEST);
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  for (let i = 1; i <= count; i++) {
    socket.write(`line ${first + i}\n`);
    const { value } = await lines.next();
    assert.is(value, `${i} line ${first + i}`);
  }
  socket.destroy();
}

async function quit(): Promise<void> {
  const socket = connect(9, GUEST);
  await once(socket, 'connect');
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

/** By e2fsck where it is installed, else by the superblock's magic number. */
function isExt2(path: string): boolean {
  const check = spawnSync('e2fsck', ['-fn', path], { encoding: 'utf8' });
  if (check.error === undefined) return check.status === 0;
  const fd = openSync(path, 'r');
  const magic = Buffer.alloc(2);
  readSync(fd, magic, 0, 2, 1024 + 56);
  closeSync(fd);
  return magic.readUInt16LE(0) === 0xef53;
}

/** User and system time of a process with its threads. */
function processCpuMs(pid: number): number {
  const ticks = spawnSync('cat', [`/proc/${pid}/stat`], { encoding: 'utf8' })
    .stdout.replace(/^.*\) /, '')
    .split(' ');
  return (Number(ticks[11]) + Number(ticks[12])) * 10;
}

test.run();

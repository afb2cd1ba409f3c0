// A TAP against the host's real network stack: it asks by ARP, answers pings, and can be missing,
// busy, forbidden or deleted.
import { spawnSync } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { HostTap, TapError, type TapErrorCode } from '../../firmware/host/tap.ts';
import {
  arpReply,
  ETHERTYPE,
  ethernet,
  icmpEcho,
  ipv4,
  PROTOCOL,
  parseEthernet,
  parseIpv4,
  parseUdp,
  udp,
} from '../harness/frames.ts';
import { assert, needs, suite } from '../harness/index.ts';
import { enterNamespace, ip } from '../harness/netns.ts';
import { forOthers } from '../harness/others.ts';

await enterNamespace();
const test = suite('host/tap');
test.needs(needs.networkNamespaces());
test.needs(needs.device('/dev/net/tun'));

const HOST_IP = '10.78.0.1';
const GUEST_IP = '10.78.0.2';
const GUEST_MAC = '02:00:00:00:00:02';
const text = (value: string) => new TextEncoder().encode(value);

/** A TAP with the host at its other end, and a queue of what came that can be waited for. */
class Guest {
  readonly tap: HostTap;
  readonly batches: number[] = [];
  gone = 0;
  private readonly frames: Uint8Array[] = [];
  private wake: () => void = () => {};

  constructor(name: string) {
    this.tap = new HostTap({
      name,
      onFrames: (frames) => {
        this.batches.push(frames.length);
        this.frames.push(...frames);
        this.wake();
      },
      onGone: () => {
        this.gone++;
        this.wake();
      },
    });
    this.tap.start();
  }

  /** Waits for a frame for which `pick` gives something; others are dropped. */
  async next<T>(pick: (frame: Uint8Array) => T | undefined): Promise<T> {
    for (;;) {
      for (let frame = this.frames.shift(); frame !== undefined; frame = this.frames.shift()) {
        const picked = pick(frame);
        if (picked !== undefined) return picked;
      }
      await this.change();
    }
  }

  change(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }

  sendIpv4(protocol: number, payload: Uint8Array): void {
    const packet = ipv4({ from: GUEST_IP, to: HOST_IP, protocol, payload });
    const { mac } = this.tap.info();
    const frame = ethernet({ to: mac, from: GUEST_MAC, type: ETHERTYPE.ipv4, payload: packet });
    assert.is(this.tap.send(frame), undefined);
  }
}

function addTap(name: string): void {
  ip('tuntap', 'add', 'dev', name, 'mode', 'tap');
  ip('addr', 'add', `${HOST_IP}/24`, 'dev', name);
  ip('link', 'set', name, 'up');
}

function packetIn(frame: Uint8Array, protocol: number) {
  const { type, payload } = parseEthernet(frame);
  if (type !== ETHERTYPE.ipv4) return undefined;
  const packet = parseIpv4(payload);
  return packet.protocol === protocol ? packet : undefined;
}

async function hostSocket(): Promise<Socket> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(5000, HOST_IP, resolve));
  return socket;
}

test.before.each(() => addTap('tap0'));
test.after.each(() => {
  if (ip('-o', 'link').includes(' tap0:')) ip('link', 'del', 'tap0');
});

test('the host asks who we are, hears it, and talks', async () => {
  const guest = new Guest('tap0');
  const socket = await hostSocket();
  const heard = once(socket, 'message');
  socket.send('who is there', 7, GUEST_IP);
  const reply = await guest.next((frame) => arpReply(frame, GUEST_IP, GUEST_MAC));
  assert.is(guest.tap.send(reply), undefined);
  const packet = await guest.next((frame) => packetIn(frame, PROTOCOL.udp));
  assert.is(new TextDecoder().decode(parseUdp(packet.payload).data), 'who is there');
  guest.sendIpv4(PROTOCOL.udp, udp(7, 5000, text('it is me')));
  const [message, from] = await heard;
  assert.equal([String(message), from.address, from.port], ['it is me', GUEST_IP, 7]);
  const { rxFrames, txFrames, rxBytes, txBytes } = guest.tap.counters();
  assert.ok(rxFrames >= 2 && txFrames === 2 && rxBytes > 80 && txBytes > 80);
  socket.close();
  guest.tap.close();
});

test('the host answers our pings, of every size', async () => {
  const guest = new Guest('tap0');
  ip('neigh', 'add', GUEST_IP, 'lladdr', GUEST_MAC, 'dev', 'tap0');
  for (const [sequence, bytes] of [0, 1, 56, 1472].entries()) {
    const data = Uint8Array.from({ length: bytes }, (_, i) => i);
    guest.sendIpv4(PROTOCOL.icmp, icmpEcho(8, 77, sequence, data));
    const packet = await guest.next((frame) => packetIn(frame, PROTOCOL.icmp));
    assert.equal(packet.payload, icmpEcho(0, 77, sequence, data));
  }
  guest.tap.close();
});

test('a burst comes whole and in order, at most 64 frames a callback', async () => {
  const guest = new Guest('tap0');
  ip('neigh', 'add', GUEST_IP, 'lladdr', GUEST_MAC, 'dev', 'tap0');
  const socket = await hostSocket();
  const count = 500;
  // From another process while this one looks away, so that they pile up.
  const flood = `
    const socket = require('node:dgram').createSocket('udp4');
    let left = ${count};
    for (let i = 0; i < ${count}; i++)
      socket.send(String(i), 7, '${GUEST_IP}', () => --left === 0 && socket.close());`;
  assert.is(spawnSync(process.execPath, ['-e', flood]).status, 0);
  const got: number[] = [];
  while (got.length < count) {
    const packet = await guest.next((frame) => packetIn(frame, PROTOCOL.udp));
    got.push(Number(new TextDecoder().decode(parseUdp(packet.payload).data)));
  }
  assert.equal(
    got,
    Array.from({ length: count }, (_, i) => i),
  );
  assert.is(Math.max(...guest.batches), 64);
  socket.close();
  guest.tap.close();
});

test('what the host says about its end', () => {
  ip('link', 'set', 'tap0', 'address', '02:11:22:33:44:55', 'mtu', '1400');
  const guest = new Guest('tap0');
  const facts = { name: 'tap0', mac: '02:11:22:33:44:55', mtuBytes: 1400, isUp: true };
  assert.equal(guest.tap.info(), facts);
  ip('link', 'set', 'tap0', 'down');
  ip('link', 'set', 'tap0', 'name', 'other');
  assert.equal(guest.tap.info(), { ...facts, name: 'other', isUp: false });
  ip('link', 'set', 'other', 'name', 'tap0');
  guest.tap.close();
});

test('dropped frames have reasons', () => {
  const guest = new Guest('tap0');
  assert.is(guest.tap.send(new Uint8Array(13)), 'badLength');
  assert.is(guest.tap.send(new Uint8Array(0)), 'badLength');
  assert.is(guest.tap.send(new Uint8Array(65537)), 'badLength');
  assert.is(guest.tap.send(new Uint8Array(14)), undefined);
  ip('link', 'set', 'tap0', 'down');
  assert.is(guest.tap.send(new Uint8Array(60)), 'down');
  ip('link', 'set', 'tap0', 'up');
  assert.is(guest.tap.send(new Uint8Array(60)), undefined);
  guest.tap.close();
  assert.is(guest.tap.send(new Uint8Array(60)), 'gone');
  const { txFrames, txDropped } = guest.tap.counters();
  assert.is(txFrames, 2);
  assert.equal(txDropped, { full: 0, down: 1, badLength: 3, gone: 1, failed: 0 });
});

test('a deleted interface is told once; then everything says gone', async () => {
  const guest = new Guest('tap0');
  const change = guest.change();
  ip('link', 'del', 'tap0');
  while (guest.gone === 0) await Promise.race([change, new Promise(setImmediate)]);
  assert.is(guest.gone, 1);
  assert.is(guest.tap.send(new Uint8Array(60)), 'gone');
  demandError('E_TAP_GONE', /closed|gone/, () => guest.tap.info());
  guest.tap.close();
  addTap('tap0');
  new Guest('tap0').tap.close();
});

function demandError(code: TapErrorCode, words: RegExp, work: () => unknown): void {
  try {
    work();
  } catch (error) {
    assert.instance(error, TapError);
    const { code: found, message } = error as TapError;
    assert.is(found, code, message);
    assert.match(message, words);
    assert.not.match(message, /\n/);
    return;
  }
  assert.unreachable(`no ${code}`);
}

test('what cannot be opened says why, in one line', () => {
  const open = (name: string) => () => new Guest(name).tap.close();
  demandError('E_TAP_MISSING', /no interface nothere.*ip tuntap add/, open('nothere'));
  for (const name of ['', 'far-too-long-a-name', 'a/b', 'a b', 'tap%d', '..'])
    demandError('E_TAP_NAME', /1 to 15 characters/, open(name));
  demandError('E_TAP_KIND', /lo is no TAP/, open('lo'));
  ip('tuntap', 'add', 'dev', 'tun0', 'mode', 'tun');
  demandError('E_TAP_KIND', /tun0 is no TAP/, open('tun0'));
  const first = new Guest('tap0');
  demandError('E_TAP_BUSY', /tap0 is in use/, open('tap0'));
  first.tap.close();
  open('tap0')();
});

/** Opens tap0 in a process started by `wrapper`; the error's code and message. */
function openElsewhere(...wrapper: string[]): string {
  const { node, path } = forOthers();
  const module = JSON.stringify(path('dist/firmware/host/tap.js'));
  const script = `import(${module}).then(({ HostTap }) => {
    new HostTap({ name: 'tap0', onFrames() {}, onGone() {} }).close();
  }).catch((error) => console.log(error.code, error.message))`;
  const [command = '', ...args] = [...wrapper, node, '-e', script];
  return spawnSync(command, args, { encoding: 'utf8' }).stdout.trim();
}

const slow = { timeoutMs: 30_000 }; // processes of their own

test(
  'no permission, no device',
  () => {
    assert.is(openElsewhere('env'), '', 'it can be opened at all');
    const nobody = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];
    assert.match(openElsewhere(...nobody), /^E_TAP_PERMISSION no permission/);
    const hide = 'mount -t tmpfs none /dev/net && exec "$@"';
    const hidden = openElsewhere('unshare', '--mount', 'sh', '-c', hide, 'sh');
    assert.match(hidden, /^E_TAP_NO_DEVICE .*\/dev\/net\/tun is missing/);
  },
  slow,
);

test.run();

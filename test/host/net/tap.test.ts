// A TAP that is lost while a guest lives on it: noticed at once, taken again when it is back, frames both ways.
import { createSocket } from 'node:dgram';
import { Backends } from '../../../firmware/host/backends.ts';
import type { NetLink } from '../../../firmware/host/net/link.ts';
import { tapLink } from '../../../firmware/host/net/tap.ts';
import { ETHERTYPE, ethernet, ipv4, PROTOCOL, udp } from '../../harness/frames.ts';
import { assert, needs, suite } from '../../harness/index.ts';
import { enterNamespace, ip } from '../../harness/netns.ts';

await enterNamespace();
const test = suite('host/net/tap');
test.needs(needs.networkNamespaces());
test.needs(needs.device('/dev/net/tun'));

const NAME = 'tap0';
const HOST_IP = '10.78.0.1';
const GUEST_IP = '10.78.0.2';
const GUEST_MAC = '02:00:00:00:00:02';
/** A second, and what a busy machine adds. */
const WITHIN_MS = 10_000;

function addTap(): void {
  ip('tuntap', 'add', 'dev', NAME, 'mode', 'tap');
  ip('addr', 'add', `${HOST_IP}/24`, 'dev', NAME);
  ip('link', 'set', NAME, 'up');
}

async function within(what: string, isSo: () => boolean): Promise<void> {
  const begunMs = performance.now();
  while (!isSo()) {
    assert.ok(performance.now() - begunMs < WITHIN_MS, `${what}: not within ${WITHIN_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The host asks for the guest's address, and the guest says something to it. */
async function framesFlow(send: (frame: Uint8Array) => void, frames: Uint8Array[]): Promise<void> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, HOST_IP, resolve));
  const { port } = socket.address();
  let heard = '';
  socket.on('message', (message) => {
    heard = String(message);
  });
  frames.length = 0;
  socket.send('who', 7, GUEST_IP);
  await within('a frame comes', () => frames.length > 0);
  const { address } = JSON.parse(ip('-j', 'link', 'show', NAME))[0] as { address: string };
  const payload = ipv4({
    ...{ from: GUEST_IP, to: HOST_IP, protocol: PROTOCOL.udp },
    payload: udp(7, port, new TextEncoder().encode('me')),
  });
  send(ethernet({ to: address, from: GUEST_MAC, type: ETHERTYPE.ipv4, payload }));
  await within('a frame leaves', () => heard === 'me');
  socket.close();
}

test.before.each(() => addTap());
test.after.each(() => {
  if (ip('-o', 'link').includes(` ${NAME}:`)) ip('link', 'del', NAME);
});

test('deleted, made again, set down and up, again and again', async () => {
  const frames: Uint8Array[] = [];
  const said: string[] = [];
  const link: NetLink = tapLink(NAME, {
    onFrames: (batch) => frames.push(...batch),
    onTrouble: (words) => said.push(words),
  });
  link.start();
  await framesFlow((frame) => link.send(frame), frames);
  for (let round = 0; round < 3; round++) {
    ip('link', 'del', NAME);
    await within('noticed', () => link.trouble !== null);
    assert.match(link.trouble ?? '', /tap0 was deleted/);
    link.send(new Uint8Array(60));
    addTap();
    await within('taken again', () => link.trouble === null);
    await framesFlow((frame) => link.send(frame), frames);
  }
  ip('link', 'set', NAME, 'down');
  await within('noticed', () => link.trouble !== null);
  assert.match(link.trouble ?? '', /tap0 is down/);
  ip('link', 'set', NAME, 'up');
  await within('up again', () => link.trouble === null);
  await framesFlow((frame) => link.send(frame), frames);
  assert.is(said.length, 8, said.join('\n'));
  await link.close();
  ip('link', 'del', NAME);
  addTap();
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.is(said.length, 8, 'closed is closed');
});

test('somebody else took it: said in words, and taken when it is free', async () => {
  const link = tapLink(NAME, { onFrames: () => {}, onTrouble: () => {} });
  link.start();
  ip('link', 'del', NAME);
  await within('noticed', () => link.trouble !== null);
  addTap();
  const other = tapLink(NAME, { onFrames: () => {}, onTrouble: () => {} });
  await within('busy', () => /another program/.test(link.trouble ?? ''));
  await other.close();
  await within('taken again', () => link.trouble === null);
  await link.close();
});

test('the backends of a guest say what is missing, and that it is back', async () => {
  const frames: Uint8Array[] = [];
  const spec = {
    disks: [],
    nets: [{ kind: 'tap', name: NAME, mac: Uint8Array.of(2, 0, 0, 0, 0, 2) }],
    serial: { com1: { kind: 'none' }, com2: { kind: 'pty' }, console: { kind: 'none' } },
  } as const;
  const backends = await Backends.open(spec, {
    onInputs: (inputs) => {
      for (const input of inputs) if (input.kind === 'net-rx') frames.push(input.frame);
    },
    onLeave: () => {},
    onNotice: () => {},
  });
  backends.start();
  const send = (frame: Uint8Array) =>
    backends.deliver([{ kind: 'net-tx', nic: 0, frame } as never]);
  assert.is(backends.missing, null);
  ip('link', 'del', NAME);
  await within('missing', () => /tap0 was deleted/.test(backends.missing ?? ''));
  addTap();
  await within('back', () => backends.missing === null);
  await framesFlow(send, frames);
  await backends.close();
});

test.run();

// One conformance suite, four ports: memory, raw Ethernet, IP protocol 253, UDP.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { IpPort } from '../../logchan/ip-port.ts';
import { MemoryPort } from '../../logchan/memory-port.ts';
import type { PortHandler } from '../../logchan/port.ts';
import { RingPort } from '../../logchan/ring-port.ts';
import { UdpPort } from '../../logchan/udp-port.ts';
import { assert, needs, suite } from '../harness/index.ts';
import { conformance } from './conformance.ts';
import { echo, UDP_PORT } from './echo-peer.ts';
import { enterNamespace, ip, makePair, Peer } from './namespace.ts';

enterNamespace();

const memory = suite('logchan/ports memory');
conformance(memory, 'memory', async () => {
  const [port, far] = MemoryPort.pair();
  echo(far);
  return { port, end: () => far.close() };
});
memory.run();

const ring = suite('logchan/ports ring');
ring.needs(needs.networkNamespaces());
for (const mtu of [1500, 9000]) {
  conformance(ring, `raw Ethernet, MTU ${mtu}`, async () => {
    const [near, far] = makePair(mtu);
    const peer = await Peer.start('echo-peer', far, { mtu, args: { kind: 'ring' } });
    return { port: new RingPort({ interface: near }), end: () => peer.end(near) };
  });
}
ring.run();

const routed = suite('logchan/ports ip');
routed.needs(needs.networkNamespaces());
routed.needs({
  met: process.env.TWINSTEP_ADDON !== 'Debug',
  why: 'raw-socket frees a handle as another type than it made, which sanitizers stop at',
});
conformance(routed, 'IP protocol 253', async () => {
  const [near, far] = makePair();
  ip('address', 'add', '10.53.0.1/24', 'dev', near);
  const peer = await Peer.start('echo-peer', far, {
    address: '10.53.0.2/24',
    args: { kind: 'ip', peer: '10.53.0.1' },
  });
  return {
    port: new IpPort({ peer: '10.53.0.2', interface: near }),
    end: () => peer.end(near),
  };
});
routed(
  'IP protocol 253: an open port that nobody holds is heard on',
  async () => {
    ip('link', 'set', 'lo', 'up');
    let heard = 0;
    // Nothing but the port itself knows the handler, and nothing of ours the port.
    const open = () => {
      const handler: PortHandler = {
        frame: () => {
          heard++;
        },
        ...{ batchEnd: () => {}, writable: () => {}, link: () => {} },
      };
      const port = new IpPort({ peer: '127.0.0.1' });
      port.start(handler);
      return new WeakRef(port);
    };
    const port = open();
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const sender = new IpPort({ peer: '127.0.0.1' });
    sender.start({ frame: () => {}, batchEnd: () => {}, writable: () => {}, link: () => {} });
    for (let times = 0; times < 3; times++) {
      await new Promise((resolve) => setImmediate(resolve));
      collect();
    }
    const before = heard;
    while (heard === before) {
      sender.slot()?.fill(0);
      sender.queue(100);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    sender.close();
    port.deref()?.close();
  },
  { timeoutMs: 5_000 },
);
routed.run();

const udp = suite('logchan/ports udp');
udp.needs(needs.networkNamespaces());

/** Our end of a UDP path to a peer that sends back what it gets. */
async function udpBench() {
  const [near, far] = makePair();
  ip('address', 'add', '10.54.0.1/24', 'dev', near);
  const peer = await Peer.start('echo-peer', far, {
    address: '10.54.0.2/24',
    args: { kind: 'udp', peer: '10.54.0.1', address: '10.54.0.2' },
  });
  const options = { interface: near, address: '10.54.0.1', peer: '10.54.0.2', port: UDP_PORT };
  return { port: new UdpPort(options), near, end: () => peer.end(near) };
}

/** A handler that tells of link news, and lets a test wait for them. */
function linkWatch() {
  const news: boolean[] = [];
  let wake = () => {};
  const handler: PortHandler = {
    link: ({ up }) => {
      news.push(up);
      wake();
    },
    ...{ frame: () => {}, batchEnd: () => {}, writable: () => {} },
  };
  const until = async (count: number) => {
    while (news.length < count) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { news, handler, until };
}

conformance(udp, 'UDP', udpBench, { bindsLater: true });

udp('UDP: an interface without carrier, and one that comes back', async () => {
  const { port, near, end } = await udpBench();
  const { news, handler, until } = linkWatch();
  if (!port.start(handler).up) await until(1);
  const before = news.length;
  ip('link', 'set', near, 'down');
  await until(before + 1);
  ip('link', 'set', near, 'up');
  await until(before + 2);
  assert.equal(news.slice(before), [false, true]);
  port.close();
  await end();
});

udp('UDP: an address that comes later than the board', async () => {
  const [near] = makePair();
  const options = { interface: near, address: '10.55.0.1', peer: '10.55.0.2', port: UDP_PORT };
  const port = new UdpPort(options);
  const { news, handler, until } = linkWatch();
  assert.not.ok(port.start(handler).up);
  assert.is(port.slot(), undefined);
  await new Promise((resolve) => setImmediate(resolve));
  assert.match(port.trouble ?? '', 'EADDRNOTAVAIL');
  ip('address', 'add', '10.55.0.1/24', 'dev', near);
  await until(1);
  assert.equal(news, [true]);
  assert.is(port.trouble, undefined);
  assert.is(port.slot()?.length, 1472);
  port.close();
  ip('link', 'delete', near);
});

udp('UDP: strangers are counted, and nobody at the other end is no trouble', async () => {
  ip('link', 'set', 'lo', 'up');
  const [near] = makePair();
  for (const host of ['1', '3']) ip('address', 'add', `10.57.0.${host}/24`, 'dev', near);
  const options = { interface: near, address: '10.57.0.1', peer: '10.57.0.2', port: UDP_PORT };
  const port = new UdpPort(options);
  const { handler, until } = linkWatch();
  if (!port.start(handler).up) await until(1);
  const stranger = new UdpPort({ ...options, address: '10.57.0.3', peer: '10.57.0.1' });
  const watch = linkWatch();
  if (!stranger.start(watch.handler).up) await watch.until(1);
  while (port.counters().foreign === 0) {
    for (const each of [stranger, port]) {
      each.slot()?.fill(0);
      each.queue(100);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.is(port.counters().received, 0);
  assert.ok(port.slot() !== undefined);
  for (const each of [stranger, port]) each.close();
  ip('link', 'delete', near);
});
udp.run();

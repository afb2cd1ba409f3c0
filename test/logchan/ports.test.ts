// One conformance suite, three ports: memory, raw Ethernet, IP protocol 253.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { IpPort } from '../../logchan/ip-port.ts';
import { MemoryPort } from '../../logchan/memory-port.ts';
import type { PortHandler } from '../../logchan/port.ts';
import { RingPort } from '../../logchan/ring-port.ts';
import { needs, suite } from '../harness/index.ts';
import { conformance } from './conformance.ts';
import { echo } from './echo-peer.ts';
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

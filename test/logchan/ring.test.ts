// The raw Ethernet port on real interfaces: what it refuses and in which words, what it must not
// hear, what it counts, and that no order of closing breaks it.
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { LinkState, PortHandler } from '../../logchan/port.ts';
import { RingPort } from '../../logchan/ring-port.ts';
import { lookUpInterface, PacketRing } from '../../native/index.ts';
import { assert, needs, repoPath, suite } from '../harness/index.ts';
import { forOthers } from '../harness/others.ts';
import { enterNamespace, ip, makePair } from './namespace.ts';

enterNamespace();
const test = suite('logchan/ring');
test.needs(needs.networkNamespaces());

const noHandler: PortHandler = {
  frame: () => {},
  batchEnd: () => {},
  writable: () => {},
  link: () => {},
};

const OPTIONS = { ethertype: 0x88b5, payloadBytesMax: 1500, receiveSlots: 64, sendSlots: 8 };
const openPorts: RingPort[] = [];

function openPort(name: string, handler: Partial<PortHandler> = {}, peer?: string): RingPort {
  const port = new RingPort({ interface: name, ...(peer === undefined ? {} : { peer }) });
  openPorts.push(port);
  port.start({ ...noHandler, ...handler });
  return port;
}

function send(port: RingPort, ...frames: Uint8Array[]): void {
  for (const frame of frames) {
    port.slot()?.set(frame);
    port.queue(frame.length);
  }
  port.flush();
}

/** Resolves when `condition` holds after some event; events call what `wake` holds. */
class Wait {
  wake: () => void = () => {};
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}

test.after.each(() => {
  for (const port of openPorts.splice(0)) port.close();
});

test('refuses in words', () => {
  ip('link', 'set', 'lo', 'up');
  assert.throws(() => openPort('nosuch0'), /there is no interface nosuch0/);
  assert.throws(() => openPort('a-name-much-too-long-for-linux'), /there is no interface/);
  assert.throws(() => openPort('lo'), /lo is not an Ethernet interface/);
  assert.throws(() => openPort('lo', {}, 'not a mac'), /not a MAC address/);
  assert.is(lookUpInterface('nosuch0'), null);
});

test('CAP_NET_RAW is needed, and enough', () => {
  const [a, b] = makePair();
  const { node, path } = forOthers();
  const script = `
    import { RingPort } from ${JSON.stringify(path('dist/logchan/ring-port.js'))};
    const nothing = { batchEnd() {}, writable() {}, link() {} };
    const to = new RingPort({ interface: '${b}' });
    to.start({ ...nothing, frame(bytes, start, end) {
      console.log('got', end - start);
      to.close();
      from.close();
    } });
    const from = new RingPort({ interface: '${a}' });
    from.start({ ...nothing, frame() {} });
    from.slot().fill(7, 0, 100);
    from.queue(100);
    from.flush();
  `;
  const run = (...capabilities: string[]) =>
    spawnSync(
      'setpriv',
      [
        '--reuid=65534',
        '--regid=65534',
        '--clear-groups',
        ...capabilities,
        node,
        '--input-type=module',
        '-e',
        script,
      ],
      { encoding: 'utf8' },
    );
  const without = run('--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all');
  assert.match(without.stderr, /E_PERMISSION|needs CAP_NET_RAW/);
  const only = ['--inh-caps=-all,+net_raw', '--ambient-caps=-all,+net_raw'];
  const withIt = run(...only, '--bounding-set=-all,+net_raw');
  assert.is(withIt.stdout, 'got 100\n', withIt.stderr);
});

test('hears its EtherType on its interface, sent to it or to all, and is not promiscuous', async () => {
  const [a, b] = makePair();
  const [c] = makePair();
  const heard: number[] = [];
  const wait = new Wait();
  const frame = (bytes: Uint8Array, start: number) => {
    heard.push(bytes[start] as number);
  };
  const port = openPort(b, { frame, batchEnd: () => wait.wake() });
  const raw = (name: string, ethertype: number, destination: Uint8Array, value: number) => {
    const ring = new PacketRing({ ...OPTIONS, interface: name, ethertype });
    const shared = ring.start({ frames: () => {}, writable: () => {}, link: () => {} });
    ring.setDestination(destination);
    new Uint8Array(shared.staging)[14] = value;
    shared.lengths[0] = 60;
    assert.is(ring.send(0, 1), 1);
    ring.close();
  };
  const all = new Uint8Array(6).fill(0xff);
  const own = lookUpInterface(b)?.mac ?? all;
  raw(a, 0x88b6, all, 1);
  raw(c, 0x88b5, all, 2);
  raw(a, 0x88b5, Uint8Array.of(2, 0, 0, 0, 0, 9), 3);
  raw(a, 0x88b5, own, 4);
  raw(a, 0x88b5, all, 5);
  await wait.until(() => heard.length >= 2);
  assert.equal(heard, [4, 5]);
  assert.is(port.counters().foreign, 1, 'the one for another station');
  assert.match(
    execFileSync('ip', ['-d', 'link', 'show', b], { encoding: 'utf8' }),
    /promiscuity 0/,
  );
});

test('with a named peer, others are not heard', async () => {
  const [a, b] = makePair();
  const [stranger, friend] = ['02:00:00:00:00:77', '02:00:00:00:00:88'];
  const heard: number[] = [];
  const wait = new Wait();
  const frame = (bytes: Uint8Array, start: number) => heard.push(bytes[start] as number);
  const port = openPort(b, { frame, batchEnd: () => wait.wake() }, friend);
  for (const [value, mac] of [stranger, friend].entries()) {
    ip('link', 'set', a, 'address', mac);
    const from = openPort(a);
    send(from, new Uint8Array(60).fill(value + 1));
    from.close();
  }
  await wait.until(() => heard.length > 0);
  assert.equal(heard, [2]);
  assert.is(port.counters().foreign, 1);
});

test('frames lost for want of room are counted by the kernel', async () => {
  const [a, b] = makePair();
  const wait = new Wait();
  let received = 0;
  const port = openPort(b, { frame: () => received++, batchEnd: () => wait.wake() });
  const from = openPort(a);
  const total = 10_000;
  // No turn of the event loop in between: nobody empties the ring of 4096 slots.
  for (let i = 0; i < total / 50; i++) {
    send(from, ...Array.from({ length: 50 }, () => new Uint8Array(100)));
  }
  await wait.until(() => received + port.counters().overrun >= total);
  const counters = port.counters();
  assert.ok(counters.overrun > 1000 && received >= 4096, JSON.stringify(counters));
  assert.is(received + counters.overrun, total);
  assert.is(counters.received, received);
});

test('tells a pulled cable, a plugged one, and a changed size', async () => {
  const [a, b] = makePair();
  const states: LinkState[] = [];
  const heard: number[] = [];
  const wait = new Wait();
  const port = openPort(a, {
    link: (state) => {
      states.push(state);
      wait.wake();
    },
    frame: (_, start, end) => heard.push(end - start),
    batchEnd: () => wait.wake(),
  });
  const far = openPort(b);
  const state = async (up: boolean, frameBytesMax: number) => {
    await wait.until(() => {
      const last = states.at(-1);
      return last?.up === up && last.frameBytesMax === frameBytesMax;
    });
  };
  ip('link', 'set', b, 'down');
  await state(false, 1500);
  ip('link', 'set', b, 'up');
  await state(true, 1500);
  ip('link', 'set', a, 'down');
  await state(false, 1500);
  ip('link', 'set', a, 'up');
  await state(true, 1500);
  send(far, new Uint8Array(200));
  await wait.until(() => heard.includes(200));
  for (const name of [b, a]) ip('link', 'set', name, 'mtu', '9000');
  await state(true, 9000);
  assert.is(port.slot()?.length, 9000);
  far.close();
  const large = openPort(b);
  send(large, new Uint8Array(9000));
  await wait.until(() => heard.includes(9000));
  ip('link', 'set', a, 'mtu', '1500');
  await state(true, 1500);
  assert.is(port.slot()?.length, 1500);
});

test('an interface that goes away and comes back is found again', async () => {
  const [a, b] = makePair();
  const states: boolean[] = [];
  const wait = new Wait();
  const link = ({ up }: LinkState) => {
    states.push(up);
    wait.wake();
  };
  let heard = 0;
  const port = openPort(a, { link, frame: () => heard++, batchEnd: () => wait.wake() });
  ip('link', 'delete', a);
  await wait.until(() => states.at(-1) === false);
  assert.is(port.slot(), undefined);
  ip('link', 'add', a, 'type', 'veth', 'peer', 'name', b);
  for (const name of [a, b]) ip('link', 'set', name, 'up');
  await wait.until(() => states.at(-1) === true);
  const far = openPort(b);
  send(far, new Uint8Array(60));
  await wait.until(() => heard > 0);
});

test('arguments that are none are refused', () => {
  const [a] = makePair();
  const wrong = [
    {},
    { ...OPTIONS, interface: 5 },
    { ...OPTIONS, interface: a, ethertype: 0x10000 },
    { ...OPTIONS, interface: a, receiveSlots: 0 },
    { ...OPTIONS, interface: a, sendSlots: 1.5 },
    { ...OPTIONS, interface: a, payloadBytesMax: Number.NaN },
    { ...OPTIONS, interface: a, sender: new Uint8Array(5) },
  ];
  for (const options of wrong) assert.throws(() => new PacketRing(options as never));
  assert.throws(() => new (PacketRing as unknown as new () => unknown)());
  const ring = new PacketRing({ ...OPTIONS, interface: a });
  assert.throws(() => ring.send(0, 1), /before start/);
  assert.throws(() => ring.start({} as never), /must be a function/);
  const shared = ring.start({ frames: () => {}, writable: () => {}, link: () => {} });
  assert.throws(() => ring.start({} as never), /has been started/);
  assert.throws(() => ring.send(8, 1), /do not exist/);
  assert.throws(() => ring.send(0, 9), /do not exist/);
  assert.throws(() => ring.setDestination(new Uint8Array(7)), /6 bytes/);
  ring.close();
  ring.close();
  assert.is(shared.ring.byteLength + shared.staging.byteLength, 0, 'views become empty');
  for (const call of [() => ring.send(0, 1), () => ring.counters(), () => ring.interface]) {
    assert.throws(call, /closed/);
  }
  for (const name of ['send', 'close', 'start'] as const) {
    assert.throws(() => (PacketRing.prototype[name] as () => void).call({}));
  }
});

test('an exception in a callback reaches the process, not the kernel ring', () => {
  const [a, b] = makePair();
  const script = `
    import { RingPort } from ${JSON.stringify(repoPath('dist/logchan/ring-port.js'))};
    const quiet = { batchEnd() {}, writable() {}, link() {} };
    const to = new RingPort({ interface: '${b}' });
    to.start({ ...quiet, frame() { throw new Error('thrown in frame()'); } });
    const from = new RingPort({ interface: '${a}' });
    from.start({ ...quiet, frame() {} });
    process.on('uncaughtException', (error) => {
      console.log(error.message);
      process.exit(3);
    });
    from.queue(from.slot().length);
    from.flush();
  `;
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  assert.equal([run.status, run.stdout], [3, 'thrown in frame()\n'], run.stderr);
});

test('threads may be ended with rings open, and so may the process', async () => {
  const [a] = makePair();
  const configuration = process.env.TWINSTEP_ADDON ?? 'Release';
  const source = `
    const { parentPort } = require('node:worker_threads');
    const { PacketRing } = require(${JSON.stringify(repoPath(`native/build/${configuration}/twinstep.node`))});
    const options = ${JSON.stringify({ ...OPTIONS, interface: a })};
    globalThis.rings = [new PacketRing(options), new PacketRing(options)];
    rings[0].start({ frames() {}, writable() {}, link() {} });
    if (parentPort) parentPort.postMessage('open');
    else setTimeout(() => process.exit(0), 20);
  `;
  for (let i = 0; i < 5; i++) {
    const worker = new Worker(source, { eval: true });
    await once(worker, 'message');
    await worker.terminate();
  }
  const run = spawnSync(process.execPath, ['-e', source], { encoding: 'utf8' });
  assert.is(run.status, 0, run.stderr);
});

test('a hundred rings come and go without being kept', () => {
  const [a] = makePair();
  for (let i = 0; i < 100; i++) {
    const port = new RingPort({ interface: a });
    port.start(noHandler);
    port.close();
  }
});

test.run();

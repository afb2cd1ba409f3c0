// The rig by itself: what its cables do before any board hangs on them.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { ReadStream } from 'node:tty';
import { assert, needs, suite } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import {
  BOARD_IP,
  type Cable,
  GATEWAY_IP,
  Network,
  other,
  port,
  SIDES,
  type Side,
} from './network.ts';
import { SerialCable } from './serial-cable.ts';
import { runWire } from './wire.ts';

await enterNamespace();
const test = suite('twin/network');
test.needs(needs.networkNamespaces());
test.needs(needs.command('gcc'));
test.needs(needs.device('/dev/net/tun'));

const LOG_IP: Readonly<Record<Side, string>> = { a: '10.78.0.1', b: '10.78.0.2' };
const COUNT = 300;
const QUIET_MS = 60;
/**
 * One in each board: answers datagrams; and for a line `ADDRESS COUNT` asks as many there, one a millisecond,
 * and says what came back, when all did or nothing has come for a while.
 */
const TALKER = `const { createSocket } = require('node:dgram');
  const server = createSocket('udp4');
  server.on('message', (m, from) => server.send(m, from.port, from.address));
  server.bind(7000, () => console.log('bound'));
  require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
    const [to, count] = line.split(' ');
    const [asker, came] = [createSocket('udp4'), []];
    let [n, quiet] = [0, 0];
    asker.on('message', (m) => { quiet = 0; came.push(m.readUInt32LE(0)); });
    const timer = setInterval(() => {
      if (came.length >= count || quiet > ${QUIET_MS}) {
        clearInterval(timer);
        asker.close();
        return console.log(JSON.stringify(came));
      }
      if (n >= count) return quiet++;
      const m = Buffer.alloc(4);
      m.writeUInt32LE(n++);
      asker.send(m, 7000, to, () => {});
    }, 1);
  });`;

let network: Network;
const talkers = new Map<Side, { child: ChildProcess; lines: AsyncIterator<string> }>();

/** The numbers that came back to this board. */
async function echoes(from: Side, to: string, count = 3): Promise<number[]> {
  const { child, lines } = talkers.get(from)!;
  child.stdin?.write(`${to} ${count}\n`);
  return JSON.parse((await lines.next()).value) as number[];
}

/** The cable carries; who is where may have to be asked anew first. */
async function carries(from: Side, to: string): Promise<void> {
  for (let tries = 0; (await echoes(from, to)).length < 3; tries++) assert.ok(tries < 40);
}

/** Which boards' cards have a carrier. */
const carriers = (cable: Cable) => SIDES.filter((side) => network.hasCarrier(cable, side)).join('');

/** A card without carrier is switched on all the same: only the cable is gone. */
function isOn(card: string, side: Side): boolean {
  return /<[^>]*\bUP\b/.test(network.boards[side].run('ip', 'link', 'show', card));
}

/** A process that a power cut ends. */
async function mortal(): Promise<ChildProcess & { readonly pid: number }> {
  const process = spawn('sleep', ['1000']);
  await once(process, 'spawn');
  return process as ChildProcess & { readonly pid: number };
}

test.before(async () => {
  network = await Network.make();
  for (const side of ['a', 'b'] as const) {
    const board = network.boards[side];
    board.run('ip', 'address', 'add', `${LOG_IP[side]}/24`, 'dev', 'log0');
    const child = board.spawn(process.execPath, '-e', TALKER);
    const lines = createInterface({ input: child.stdout as Readable })[Symbol.asyncIterator]();
    await lines.next();
    talkers.set(side, { child, lines });
  }
});
test.after(async () => {
  for (const { child } of talkers.values()) child.kill('SIGKILL');
  await network?.close();
});

test('both cables carry, and a pulled one does not, until it is put back', async () => {
  const { a } = network.boards;
  assert.match(a.run('ip', 'neigh'), '');
  await carries('a', BOARD_IP.b);
  await carries('a', LOG_IP.b);
  network.pull('log', 'a');
  assert.is((await echoes('a', LOG_IP.b)).length, 0);
  await carries('a', BOARD_IP.b);
  await network.mend('log', 'a');
  await carries('a', LOG_IP.b);
  network.pull('front', 'a');
  assert.is((await echoes('a', BOARD_IP.b)).length, 0);
  await network.mend('front', 'a');
  await carries('a', BOARD_IP.b);
});

test('a pulled log cable takes the carrier of both cards, a front cable that of its own', async () => {
  for (const side of SIDES) {
    network.pull('log', side);
    assert.is(carriers('log'), '');
    assert.ok(SIDES.every((at) => isOn('log0', at)));
    assert.is(carriers('front'), 'ab');
    await network.mend('log', side);
    assert.is(carriers('log'), 'ab');
  }
  network.pull('front', 'b');
  assert.is(carriers('front'), 'a');
  assert.is(carriers('log'), 'ab');
  await network.mend('front', 'b');
  assert.is(carriers('front'), 'ab');
});

test('a power cut ends processes and takes the carriers at the peer and at the switch', async () => {
  const process = await mortal();
  const gone = once(process, 'exit');
  await network.cutPower(['b'], [process.pid]);
  assert.equal(await gone, [null, 'SIGKILL']);
  assert.is(carriers('log'), '');
  assert.ok(isOn('log0', 'a'));
  assert.is(carriers('front'), 'a');
  assert.is((await echoes('a', BOARD_IP.b)).length, 0);
  await network.restorePower(['b']);
  assert.is(carriers('log'), 'ab');
  assert.is(carriers('front'), 'ab');
  await carries('a', LOG_IP.b);
  await carries('a', BOARD_IP.b);
});

test('there is a carrier only with the cable in and power at both ends', async () => {
  network.pull('log', 'a');
  await network.cutPower(['b'], []);
  await network.restorePower(['b']);
  assert.is(carriers('log'), '');
  await network.cutPower(['a', 'b'], []);
  await network.mend('log', 'a');
  assert.is(carriers('log'), '');
  await network.restorePower(['a']);
  assert.is(carriers('log'), '');
  assert.is(carriers('front'), 'a');
  await network.restorePower(['b']);
  assert.is(carriers('log'), 'ab');
  await carries('b', LOG_IP.a);
});

test('a board can die in pieces: its carriers first, its processes later', async () => {
  const process = await mortal();
  const gone = once(process, 'exit');
  const [front, pid] = [port('front', 'a'), String(process.pid)];
  const cut = runWire('power', ['down', front, 'wait', '1000', 'kill', pid]);
  while (network.hasCarrier('front', 'a'));
  assert.is(process.exitCode ?? process.signalCode, null);
  await cut;
  assert.equal(await gone, [null, 'SIGKILL']);
  // Behind the network's back: it takes this end as off from now on, and puts it on again.
  network.pull('front', 'a');
  await network.mend('front', 'a');
  assert.is(carriers('front'), 'ab');
});

test('the gateway answers while it is there', async () => {
  const { b } = network.boards;
  const asks = async () => {
    b.run('ip', 'neigh', 'flush', 'dev', 'br0');
    await echoes('b', GATEWAY_IP, 1);
    return b.run('ip', 'neigh', 'show', GATEWAY_IP);
  };
  assert.match(await asks(), 'lladdr');
  network.gateway(false);
  assert.not.match(await asks(), 'lladdr');
  network.gateway(true);
  assert.match(await asks(), 'lladdr');
});

test('a bad cable loses, repeats and reorders; a whole one nothing', async () => {
  const { a, b } = network.boards;
  const monitors = [a, b].map((board) => board.spawn('ip', 'monitor', 'link'));
  const seen = monitors.map((monitor) => {
    let text = '';
    monitor.stdout?.on('data', (bytes) => {
      text += bytes;
    });
    return () => text;
  });
  const whole = await echoes('a', LOG_IP.b, COUNT);
  assert.equal(whole, [...Array(COUNT).keys()]);
  await network.spoil('log', 'a', { lossPpm: 50_000, repeatPpm: 50_000, reorderPpm: 50_000 });
  const came = await echoes('a', LOG_IP.b, COUNT);
  const numbers = new Set(came);
  assert.ok(numbers.size < COUNT && numbers.size > COUNT / 2, `${numbers.size} came`);
  assert.ok(came.length > numbers.size, 'some twice');
  assert.ok(
    came.some((n, i) => n < (came[i - 1] ?? 0)),
    'some late',
  );
  await network.mend('log', 'a');
  assert.equal(await echoes('a', LOG_IP.b, COUNT), whole);
  // No card noticed that a relay came and went: the first news is of the cable.
  const news = monitors.map((monitor) => once(monitor.stdout as Readable, 'data'));
  network.pull('log', 'a');
  await Promise.all(news);
  for (const text of seen) assert.match(text(), /^\d+: log0.*NO-CARRIER/);
  for (const monitor of monitors) monitor.kill('SIGKILL');
  await network.mend('log', 'a');
});

test(
  'a cable can fail one way',
  async () => {
    /** Questions that came to the other board, answers that came back. */
    const heard = async (cable: Cable, side: Side, lost: 'out' | 'in') => {
      const to = network.boards[other(side)];
      const address = (cable === 'log' ? LOG_IP : BOARD_IP)[other(side)];
      const counted = () => Number(/(\d+)/.exec(to.run('sh', '-c', COUNTER))?.[1]);
      await carries(side, address);
      await network.spoil(cable, side, { lost });
      const before = counted();
      const answers = (await echoes(side, address)).length;
      const questions = counted() - before;
      await network.mend(cable, side);
      return `${questions} ${answers}`;
    };
    const cables = [
      ['front', 'a'],
      ['log', 'a'],
      ['log', 'b'],
    ] as const;
    for (const [cable, side] of cables) {
      assert.is(await heard(cable, side, 'out'), '0 0');
      assert.is(await heard(cable, side, 'in'), '3 0');
    }
    await carries('a', LOG_IP.b);
  },
  { timeoutMs: 30_000 },
);
const COUNTER = "awk '/^Udp: [0-9]/ { print $2 }' /proc/net/snmp";

test('the serial cable carries both ways, one way, and none', async () => {
  const cable = await SerialCable.make();
  const ends = { a: openSync(cable.paths.a, 'r+'), b: openSync(cable.paths.b, 'r+') };
  const readers = { a: new ReadStream(ends.a), b: new ReadStream(ends.b) };
  const heard = { a: '', b: '' };
  let wake = () => {};
  for (const side of ['a', 'b'] as const)
    readers[side].on('data', (bytes) => {
      heard[side] += bytes;
      wake();
    });
  const until = async (is: () => boolean) => {
    while (!is())
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  };
  writeSync(ends.a, '1');
  writeSync(ends.b, '2');
  await until(() => heard.a === '2' && heard.b === '1');
  await cable.set('a-to-b');
  writeSync(ends.b, '3');
  writeSync(ends.a, '4');
  await until(() => heard.b === '14');
  await cable.set('cut');
  writeSync(ends.a, '5');
  await cable.set('whole');
  writeSync(ends.b, '6');
  writeSync(ends.a, '7');
  await until(() => heard.b.endsWith('7') && heard.a.endsWith('6'));
  // What was said into the cut may still lie in the terminal when the cable is mended.
  assert.ok(heard.a === '26' || heard.a === '236', heard.a);
  for (const side of ['a', 'b'] as const) readers[side].destroy();
  cable.close();
});

test.run();

// The rig by itself: what its cables do before any board hangs on them.
import type { ChildProcess } from 'node:child_process';
import { openSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { assert, needs, suite } from '../harness/index.ts';
import { enterNamespace, type Namespace } from '../harness/netns.ts';
import { BOARD_IP, GATEWAY_IP, Network, type Side } from './network.ts';
import { SerialCable } from './serial-cable.ts';

await enterNamespace();
const test = suite('twin/network');
test.needs(needs.networkNamespaces());
test.needs(needs.command('gcc'));
test.needs(needs.device('/dev/net/tun'));

const LOG_IP: Readonly<Record<Side, string>> = { a: '10.78.0.1', b: '10.78.0.2' };
const COUNT = 300;
/** Answers datagrams; or sends COUNT of them, one a millisecond, and says what came back. */
const ECHO = `const s = require('node:dgram').createSocket('udp4');
  s.on('message', (m, from) => s.send(m, from.port, from.address));
  s.bind(7000, () => console.log('bound'));`;
const ask = (to: string, count: number) => `
  const s = require('node:dgram').createSocket('udp4');
  const came = [];
  s.on('message', (m) => came.push(m.readUInt32LE(0)));
  let n = 0;
  const timer = setInterval(() => {
    if (n === ${count}) {
      clearInterval(timer);
      return setTimeout(() => { console.log(JSON.stringify(came)); s.close(); }, 60);
    }
    const m = Buffer.alloc(4);
    m.writeUInt32LE(n++);
    s.send(m, 7000, '${to}', () => {});
  }, 1);`;

let network: Network;
const servers: ChildProcess[] = [];
const echoes = (from: Namespace, to: string, count = 3): number[] =>
  JSON.parse(from.run(process.execPath, '-e', ask(to, count)));

/** The board's end sees its carrier when the kernel looks next, within a second or two. */
function comesBack(from: Namespace, to: string): void {
  for (let tries = 0; echoes(from, to).length < 3; tries++) assert.ok(tries < 40);
}

test.before(async () => {
  network = await Network.make();
  for (const side of ['a', 'b'] as const) {
    const board = network.boards[side];
    board.run('ip', 'address', 'add', `${LOG_IP[side]}/24`, 'dev', 'log0');
    const server = board.spawn(process.execPath, '-e', ECHO);
    servers.push(server);
    await new Promise((resolve) => server.stdout?.once('data', resolve));
  }
});
test.after(async () => {
  for (const server of servers) server.kill('SIGKILL');
  await network?.close();
});

test('both cables carry, and a pulled one does not, until it is put back', async () => {
  const { a } = network.boards;
  assert.match(a.run('ip', 'neigh'), '');
  assert.is(echoes(a, BOARD_IP.b).length, 3);
  assert.is(echoes(a, LOG_IP.b).length, 3);
  network.pull('log', 'a');
  assert.is(echoes(a, LOG_IP.b).length, 0);
  assert.match(network.boards.b.run('ip', 'link', 'show', 'log0'), 'NO-CARRIER');
  assert.is(echoes(a, BOARD_IP.b).length, 3);
  await network.mend('log', 'a');
  comesBack(a, LOG_IP.b);
  network.pull('front', 'a');
  assert.is(echoes(a, BOARD_IP.b).length, 0);
  await network.mend('front', 'a');
  comesBack(a, BOARD_IP.b);
});

test('the gateway answers while it is there', () => {
  const { b } = network.boards;
  const asks = () => {
    b.run('ip', 'neigh', 'flush', 'dev', 'br0');
    echoes(b, GATEWAY_IP, 1);
    return b.run('ip', 'neigh', 'show', GATEWAY_IP);
  };
  assert.match(asks(), 'lladdr');
  network.gateway(false);
  assert.not.match(asks(), 'lladdr');
  network.gateway(true);
  assert.match(asks(), 'lladdr');
});

test('a bad cable loses, repeats and reorders; a whole one nothing', async () => {
  const { a } = network.boards;
  const whole = echoes(a, LOG_IP.b, COUNT);
  assert.equal(whole, [...Array(COUNT).keys()]);
  await network.spoil('log', 'a', { lossPpm: 50_000, repeatPpm: 50_000, reorderPpm: 50_000 });
  const came = echoes(a, LOG_IP.b, COUNT);
  const numbers = new Set(came);
  assert.ok(numbers.size < COUNT && numbers.size > COUNT / 2, `${numbers.size} came`);
  assert.ok(came.length > numbers.size, 'some twice');
  assert.ok(
    came.some((n, i) => n < (came[i - 1] ?? 0)),
    'some late',
  );
  await network.mend('log', 'a');
  assert.equal(echoes(a, LOG_IP.b, COUNT), whole);
});

test('a cable can fail one way', async () => {
  const { b } = network.boards;
  const heard = async (trouble: { lost: 'out' | 'in' }) => {
    await network.spoil('front', 'a', trouble);
    const counted = () => Number(/(\d+)/.exec(b.run('sh', '-c', COUNTER))?.[1]);
    const before = counted();
    echoes(network.boards.a, BOARD_IP.b);
    const count = counted() - before;
    await network.mend('front', 'a');
    return count;
  };
  echoes(network.boards.a, BOARD_IP.b);
  assert.is(await heard({ lost: 'out' }), 0);
  assert.is(await heard({ lost: 'in' }), 3);
});
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

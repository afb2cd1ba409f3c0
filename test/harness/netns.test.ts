// The namespace helper: a network of one's own, a second one, and nothing left of either.
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { assert, needs, repoPath, suite } from './index.ts';
import { enterNamespace, ip, newNamespace } from './netns.ts';

await enterNamespace();
const test = suite('harness/netns');
test.needs(needs.networkNamespaces());

test('this file runs with lo and nothing else, and lo works', async () => {
  const interfaces = [...ip('-o', 'link').matchAll(/^\d+: ([^:]+):/gm)].map(([, name]) => name);
  assert.equal(interfaces, ['lo']);
  assert.match(ip('-o', 'link', 'show', 'lo'), /UP/);
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const got = once(socket, 'message');
  socket.send('hello', socket.address().port, '127.0.0.1');
  assert.is(String((await got)[0]), 'hello');
  socket.close();
});

const ECHO = `
  const socket = require('node:dgram').createSocket('udp4');
  socket.on('message', (message, from) => socket.send(message, from.port, from.address));
  socket.bind(7777, '10.77.0.2', () => console.log('bound'));
`;

test('a second network, joined by a cable, answers', async () => {
  const peer = await newNamespace();
  ip('link', 'add', 'here', 'type', 'veth', 'peer', 'name', 'there', 'netns', String(peer.pid));
  ip('addr', 'add', '10.77.0.1/24', 'dev', 'here');
  ip('link', 'set', 'here', 'up');
  peer.run('ip', 'addr', 'add', '10.77.0.2/24', 'dev', 'there');
  peer.run('ip', 'link', 'set', 'there', 'up');
  const echo = peer.spawn(process.execPath, '-e', ECHO);
  await once(echo.stdout!, 'data');
  const socket = createSocket('udp4');
  const got = once(socket, 'message');
  socket.send('over there', 7777, '10.77.0.2');
  assert.is(String((await got)[0]), 'over there');
  socket.close();
  const exit = once(echo, 'exit');
  echo.kill();
  await exit;
  await peer.close();
  await peer.close();
  // The kernel takes the network apart in its own time, and our end of the cable with it.
  while (ip('-o', 'link').includes('here')) await new Promise(setImmediate);
  assert.throws(() => peer.run('true'));
});

test('a command that fails says why', async () => {
  assert.throws(() => ip('link', 'set', 'nothere', 'up'), /ip link set nothere up: .*nothere/);
  const peer = await newNamespace();
  assert.throws(() => peer.run('ip', 'link', 'del', 'nothere'), /nothere/);
  await peer.close();
});

for (const [name, lastLine, processes] of [
  ['netns-fails', '1 passed, 1 failed, 0 skipped', 4],
  ['netns-blocks', '0 passed, 1 failed, 0 skipped', 3],
] as const) {
  test(
    `nothing is left: ${name}`,
    async () => {
      const main = repoPath('dist/test/harness/main.js');
      const args = [main, `cases/${name}\\.case`, '--suffix', '.case.js'];
      const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      assert.is(status, 1);
      assert.is(stdout.trimEnd().split('\n').at(-1), lastLine, stdout);
      const pids = /pids ([\d ]+)/.exec(stdout)?.[1]?.split(' ') ?? [];
      assert.is(pids.length, processes, stdout);
      // Killed processes take a moment to be gone; the test's timeout is the limit.
      while (pids.some(isRunning)) await new Promise(setImmediate);
    },
    { timeoutMs: 30_000 },
  );
}

function isRunning(pid: string): boolean {
  if (!readdirSync('/proc').includes(pid)) return false;
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

test.run();

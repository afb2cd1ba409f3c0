// Fails inside a namespace, leaving a second one, an interface and a process open.
import { assert, suite } from '../index.ts';
import { enterNamespace, ip, newNamespace } from '../netns.ts';

await enterNamespace();
const test = suite('netns-fails');
test('good', () => {});
test('bad', async () => {
  const peer = await newNamespace();
  const sleeper = peer.spawn('sleep', '1000');
  sleeper.unref();
  for (const stream of [sleeper.stdin, sleeper.stdout]) (stream as { unref?(): void }).unref?.();
  ip('link', 'add', 'left', 'type', 'veth', 'peer', 'name', 'right', 'netns', `${peer.pid}`);
  console.log(`pids ${process.ppid} ${process.pid} ${peer.pid} ${sleeper.pid}`);
  assert.unreachable('on purpose');
});
test.run();

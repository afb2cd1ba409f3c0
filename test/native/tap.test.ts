// The TAP's native object: arguments, and a lifetime no order of closing can break.
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Tap } from '../../native/index.ts';
import { assert, needs, repoPath, suite } from '../harness/index.ts';
import { enterNamespace, ip } from '../harness/netns.ts';

await enterNamespace();
const test = suite('native/tap');
test.needs(needs.networkNamespaces());
test.needs(needs.device('/dev/net/tun'));

const NOTHING = () => {};
const FRAME = new Uint8Array(60).fill(0xff);
const configuration = process.env.TWINSTEP_ADDON ?? 'Release';
const addon = repoPath(`native/build/${configuration}/twinstep.node`);

test.before(() => {
  ip('tuntap', 'add', 'dev', 'tap0', 'mode', 'tap');
  ip('link', 'set', 'tap0', 'up');
});

/** Makes the host's stack send something out of tap0. */
function provoke(): void {
  ip('link', 'set', 'tap0', 'down');
  ip('link', 'set', 'tap0', 'up');
}

test('refuses what are no arguments', () => {
  const Loose = Tap as unknown as new (...args: unknown[]) => Tap;
  for (const args of [[], ['tap0'], ['tap0', 1, 2], [7, NOTHING, NOTHING], ['tap0', NOTHING]])
    assert.throws(() => new Loose(...args), /needs a name and two functions/);
  const tap = new Tap('tap0', NOTHING, NOTHING);
  for (const frame of ['text', 5, undefined, new Uint16Array(30), new ArrayBuffer(60), []])
    assert.throws(() => tap.write(frame as never), /needs a Uint8Array/);
  assert.is(tap.write(FRAME), undefined);
  tap.close();
  const { write, close } = Tap.prototype as Tap;
  assert.throws(() => write.call({} as Tap, FRAME));
  assert.throws(() => close.call({} as Tap));
});

test('a view into a larger buffer sends the view', () => {
  const tap = new Tap('tap0', NOTHING, NOTHING);
  const whole = new Uint8Array(200);
  assert.is(tap.write(whole.subarray(100, 110)), 'badLength');
  assert.is(tap.write(whole.subarray(100, 160)), undefined);
  assert.is(tap.counters().txBytes, 60);
  tap.close();
});

test('closing: twice, from inside the callback, and free at once for the next', async () => {
  for (let i = 0; i < 50; i++) {
    const tap = new Tap('tap0', NOTHING, NOTHING);
    tap.close();
    tap.close();
  }
  let calls = 0;
  const closed = new Promise<void>((resolve) => {
    const tap = new Tap(
      'tap0',
      () => {
        calls++;
        tap.close();
        tap.close();
        resolve();
      },
      NOTHING,
    );
    tap.start();
  });
  provoke();
  await closed;
  provoke();
  await new Promise(setImmediate);
  assert.is(calls, 1);
  new Tap('tap0', NOTHING, NOTHING).close();
});

test('closed before the loop turns, it never calls', async () => {
  let calls = 0;
  const tap = new Tap('tap0', () => calls++, NOTHING);
  tap.start();
  provoke();
  tap.close();
  await new Promise(setImmediate);
  assert.is(calls, 0);
});

test('before it is started it never calls; it starts once, and not after it was closed', async () => {
  let calls = 0;
  const tap = new Tap('tap0', () => calls++, NOTHING);
  provoke();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.is(calls, 0);
  const called = new Promise<void>((resolve) => {
    const wait = setInterval(() => {
      if (calls === 0) return;
      clearInterval(wait);
      resolve();
    }, 1);
  });
  tap.start();
  await called;
  assert.throws(() => tap.start(), /starts once/);
  tap.close();
  assert.throws(() => tap.start(), /is closed/);
  const never = new Tap('tap0', NOTHING, NOTHING);
  never.close();
  assert.is(never.write(FRAME), 'gone');
  new Tap('tap0', NOTHING, NOTHING).close();
});

function inWorker(script: string): Worker {
  const prelude = `
    const { parentPort } = require('node:worker_threads');
    const { Tap } = require(${JSON.stringify(addon)});`;
  return new Worker(prelude + script, { eval: true });
}

test('a worker ends with a TAP open: by itself, by process.exit, terminated, by an error', async () => {
  const open = `const tap = new Tap('tap0', () => {}, () => {}); tap.start();`;
  for (const end of ['process.exit(3)', "throw new Error('on purpose')"]) {
    const worker = inWorker(`${open} ${end}`);
    worker.on('error', () => {});
    await new Promise((resolve) => worker.once('exit', resolve));
    new Tap('tap0', NOTHING, NOTHING).close();
  }
  const terminated = inWorker(`${open} parentPort.postMessage('open')`);
  await once(terminated, 'message');
  assert.throws(() => new Tap('tap0', NOTHING, NOTHING), /in use/);
  await terminated.terminate();
  const closing = inWorker(`${open} tap.close(); parentPort.postMessage('done')`);
  const [code] = await once(closing, 'exit');
  assert.is(code, 0, 'a closed TAP keeps nothing alive');
  new Tap('tap0', NOTHING, NOTHING).close();
});

test('a worker is ended in the middle of closing', async () => {
  const worker = inWorker(`
    const tap = new Tap('tap0', () => {}, () => {});
    tap.start();
    tap.close();
    process.exit(0);`);
  const [code] = await once(worker, 'exit');
  assert.is(code, 0);
  new Tap('tap0', NOTHING, NOTHING).close();
});

test(
  'workers terminated at any moment under a flood, whatever their callback does',
  async () => {
    ip('addr', 'add', '10.78.0.1/24', 'dev', 'tap0');
    ip('neigh', 'add', '10.78.0.2', 'lladdr', '02:00:00:00:00:02', 'dev', 'tap0');
    const flood = createSocket('udp4');
    const callbacks = [
      '() => {}',
      '() => { for (;;); }',
      '(frames) => parentPort.postMessage(frames.length)',
      '() => process.exit(1)',
      `() => { throw new Error('mine'); }`,
      '() => tap.close()',
      '() => { tap.close(); process.exit(2); }',
      '() => { tap.close(); for (;;); }',
    ];
    for (let round = 0; round < 40; round++) {
      const callback = callbacks[round % callbacks.length];
      const worker = inWorker(`
        const tap = new Tap('tap0', ${callback}, () => {});
        tap.start();
        parentPort.postMessage('open');`);
      worker.on('error', () => {});
      const exit = new Promise((resolve) => worker.once('exit', resolve));
      await Promise.race([exit, new Promise((resolve) => worker.once('message', resolve))]);
      for (let i = 0; i < 100; i++) flood.send('x', 7, '10.78.0.2');
      for (let turns = (round * 7) % 23; turns > 0; turns--) await new Promise(setImmediate);
      await worker.terminate();
      await exit;
      new Tap('tap0', NOTHING, NOTHING).close();
    }
    flood.close();
  },
  { timeoutMs: 60_000 },
);

function elsewhere(script: string) {
  const whole = `const { Tap } = require(${JSON.stringify(addon)}); ${script}`;
  return spawnSync(process.execPath, ['--expose-gc', '-e', whole], { encoding: 'utf8' });
}

test('a process exits with a TAP open; without exit, an open TAP keeps it', () => {
  assert.is(elsewhere(`new Tap('tap0', () => {}, () => {}).start(); process.exit(5)`).status, 5);
  const kept = elsewhere(`
    new Tap('tap0', () => {}, () => {}).start();
    setTimeout(() => process.exit(9), 50).unref();`);
  assert.is(kept.status, 9);
});

test('forgotten while open it lives; a lost constructor error leaves nothing', () => {
  const result = elsewhere(`
    for (let i = 0; i < 100; i++) {
      try { new Tap('nothere', () => {}, () => {}); } catch {}
    }
    new Tap('tap0', () => { console.log('alive'); process.exit(0); }, () => {}).start();
    const timer = setInterval(() => gc(), 1);
    require('node:child_process').execSync('ip link set tap0 down; ip link set tap0 up');`);
  assert.is(result.stdout, 'alive\n', result.stderr);
});

test('a callback that throws is an uncaught exception, and the TAP goes on', () => {
  const result = elsewhere(`
    const { execSync } = require('node:child_process');
    const poke = () => execSync('ip link set tap0 down; ip link set tap0 up');
    let calls = 0;
    process.on('uncaughtException', ({ message }) => {
      console.log(message);
      if (++calls === 2) process.exit(0);
      poke();
    });
    new Tap('tap0', () => { throw new Error('mine'); }, () => {}).start();
    poke();`);
  assert.is(result.stdout, 'mine\nmine\n', result.stderr);
});

test('promises and ticks of a callback run right after it', () => {
  const result = elsewhere(`
    new Tap('tap0', () => {
      Promise.resolve().then(() => console.log('promise'));
      process.nextTick(() => console.log('tick'));
      setImmediate(() => process.exit(0));
    }, () => {}).start();
    require('node:child_process').execSync('ip link set tap0 down; ip link set tap0 up');`);
  assert.is(result.stdout, 'tick\npromise\n', result.stderr);
});

test.run();

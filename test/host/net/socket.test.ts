// Two ends of a network cable over a Unix socket, and what a stranger at the other end can do.
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeFrame } from '../../../firmware/host/net/frame-stream.ts';
import type { NetLink } from '../../../firmware/host/net/link.ts';
import { socketLink } from '../../../firmware/host/net/socket.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';

const test = suite('host/net/socket');
const folder = mkdtempSync(join(tmpdir(), 'twinstep-net-'));
test.after(() => rmSync(folder, { recursive: true }));
let number = 0;
const newPath = () => join(folder, `cable${number++}`);

/** One end, with what came out of it. */
class End {
  readonly frames: Uint8Array[] = [];
  readonly trouble: string[] = [];
  private link: NetLink | undefined;
  private wake: () => void = () => {};

  async open(path: string): Promise<this> {
    this.link = await socketLink(path, {
      onFrames: (frames) => {
        this.frames.push(...frames);
        this.wake();
      },
      onTrouble: (words) => {
        this.trouble.push(words);
        this.wake();
      },
    });
    this.link.start();
    return this;
  }

  send(frame: Uint8Array): void {
    this.link?.send(frame);
  }

  async close(): Promise<void> {
    await this.link?.close();
  }

  async until(isDone: () => boolean): Promise<void> {
    while (!isDone())
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
  }
}

/** Sends until the other side hears: a peer may not be attached yet, and a cable drops. */
async function sendUntilHeard(from: End, to: End, frame: Uint8Array): Promise<void> {
  while (to.frames.length === 0) {
    from.send(frame);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('who comes first listens, who comes second connects, frames go both ways', async () => {
  const path = newPath();
  const first = await new End().open(path);
  const second = await new End().open(path);
  const random = seededRandom();
  const frames = Array.from({ length: 100 }, () => random.bytes(14 + random.int(1501)));
  await sendUntilHeard(first, second, frames[0]!);
  await sendUntilHeard(second, first, frames[0]!);
  const [heardByFirst, heardBySecond] = [first.frames.length, second.frames.length];
  for (const frame of frames) {
    first.send(frame);
    second.send(frame);
  }
  await first.until(() => first.frames.length >= heardByFirst + 100);
  await second.until(() => second.frames.length >= heardBySecond + 100);
  const hex = (list: Uint8Array[]) =>
    list.slice(-100).map((one) => Buffer.from(one).toString('hex'));
  assert.equal(hex(first.frames), hex(frames));
  assert.equal(hex(second.frames), hex(frames));
  await second.close();
  await first.close();
  await first.close();
  assert.ok(!existsSync(path));
});

test('the first outlives the second and takes the next; the second says that it is alone', async () => {
  const path = newPath();
  const first = await new End().open(path);
  const second = await new End().open(path);
  await second.close();
  assert.equal(second.trouble, [], 'closing is no trouble');
  const third = await new End().open(path);
  await sendUntilHeard(third, first, new Uint8Array(60));
  await first.close();
  await third.until(() => third.trouble.length > 0);
  assert.match(third.trouble[0] ?? '', 'the other end is gone');
  await third.close();
});

test('a stranger who announces nonsense is disconnected and the cable is free again', async () => {
  const path = newPath();
  const end = await new End().open(path);
  const stranger = connect(path);
  await once(stranger, 'connect');
  stranger.on('error', () => {});
  const closed = once(stranger, 'close');
  stranger.write(encodeFrame(new Uint8Array(60)));
  stranger.write(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
  await closed;
  assert.is(end.frames.length, 1);
  assert.match(end.trouble[0] ?? '', 'disconnected');
  const peer = await new End().open(path);
  await sendUntilHeard(peer, end, new Uint8Array(60));
  await peer.close();
  await end.close();
});

test('a peer that does not read loses frames, memory is not filled', async () => {
  const path = newPath();
  const end = await new End().open(path);
  const lazy: Socket = connect(path);
  await once(lazy, 'connect');
  lazy.pause();
  lazy.write(encodeFrame(new Uint8Array(60)));
  await end.until(() => end.frames.length === 1);
  const before = process.memoryUsage().arrayBuffers;
  const frame = new Uint8Array(1514);
  for (let i = 0; i < 30_000; i++) end.send(frame);
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 16 << 20, `${grown} bytes`);
  lazy.destroy();
  await end.close();
});

test('a path that cannot be a socket says so', async () => {
  const file = join(folder, 'file');
  writeFileSync(file, '');
  const cases: [string, RegExp][] = [
    [file, /is a file, not a socket/],
    [join(folder, 'missing', 'cable'), /no such file or directory/],
    [`${folder}/${'x'.repeat(120)}`, /longer than 107 bytes/],
  ];
  for (const [path, words] of cases) {
    await new End().open(path).then(
      () => assert.unreachable(path),
      (error: Error & { code?: string }) => {
        assert.is(error.code, 'E_SOCKET');
        assert.match(error.message, words);
      },
    );
  }
});

test.run();

// Serial lines without a guest: a socket, a pseudo-terminal, and the key that leaves the console.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { constants, existsSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ReadStream } from 'node:tty';
import { splitAtLeave } from '../../../firmware/host/serial/escape.ts';
import type { SerialLine } from '../../../firmware/host/serial/line.ts';
import { PtyWriter, ptyLine } from '../../../firmware/host/serial/pty.ts';
import { socketLine } from '../../../firmware/host/serial/socket.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { until } from '../../watchdog/pty.ts';

const test = suite('host/serial');
/** A second, and what a busy machine adds. */
const SOON_MS = 10_000;
const folder = mkdtempSync(join(tmpdir(), 'twinstep-serial-'));
test.after(() => rmSync(folder, { recursive: true }));

/** Bytes as they come, and waiting for so many. */
class Sink {
  private bytes: Buffer = Buffer.alloc(0);
  private wake: () => void = () => {};
  readonly events = { onBytes: (bytes: Uint8Array) => this.add(bytes), onLeave: () => {} };

  add(bytes: Uint8Array): void {
    this.bytes = Buffer.concat([this.bytes, bytes]);
    this.wake();
  }

  async take(count: number): Promise<Buffer> {
    while (this.bytes.length < count)
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    const taken = this.bytes.subarray(0, count);
    this.bytes = this.bytes.subarray(count);
    return taken;
  }
}

test('Ctrl-] leaves; what was typed before it is still the guest’s', () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const split = (text: string) => {
    const { forGuest, leaves } = splitAtLeave(bytes(text));
    return [new TextDecoder().decode(forGuest), leaves];
  };
  assert.equal(split('ls\r'), ['ls\r', false]);
  assert.equal(split('\x03\x1b[A'), ['\x03\x1b[A', false]);
  assert.equal(split('ab\x1dcd'), ['ab', true]);
  assert.equal(split('\x1d'), ['', true]);
});

test('socket: one talks at a time, the next waits its turn, bytes pass as they are', async () => {
  const path = join(folder, 'line');
  const sink = new Sink();
  const line = await socketLine(path, sink.events);
  line.write(Uint8Array.of(1, 2, 3)); // nobody is there
  const first = connect(path);
  await once(first, 'connect');
  const sent = seededRandom().bytes(10_000);
  first.write(sent);
  assert.is(Buffer.compare(await sink.take(sent.length), sent), 0);
  const second = connect(path);
  second.write('second');
  await once(second, 'connect');
  first.write('first');
  assert.is(String(await sink.take(5)), 'first');
  const heard = new Sink();
  first.on('data', (bytes) => heard.add(bytes));
  line.write(sent);
  assert.is(Buffer.compare(await heard.take(sent.length), sent), 0);
  first.end();
  assert.is(String(await sink.take(6)), 'second');
  second.destroy();
  await line.close();
  assert.ok(!existsSync(path));
});

test('socket: a paused line keeps what comes', async () => {
  const path = join(folder, 'paused');
  const sink = new Sink();
  const line = await socketLine(path, sink.events);
  line.pause();
  const peer = connect(path);
  peer.write('patience');
  await once(peer, 'connect');
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  line.resume();
  assert.is(String(await sink.take(8)), 'patience');
  peer.destroy();
  await line.close();
});

test('socket: closing does not wait for a peer that never reads', async () => {
  const path = join(folder, 'deaf');
  const line = await socketLine(path, new Sink().events);
  const peer = connect(path);
  peer.pause();
  peer.on('error', () => {});
  await once(peer, 'connect');
  for (let i = 0; i < 40; i++) {
    line.write(new Uint8Array(100_000));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await line.close();
  peer.destroy();
});

test('socket: a live owner keeps its path, a dead one’s is taken over', async () => {
  const path = join(folder, 'owned');
  const line = await socketLine(path, new Sink().events);
  await socketLine(path, new Sink().events).then(
    () => assert.unreachable(),
    (error: Error) => assert.match(error.message, 'is in use by another program'),
  );
  await line.close();
  // What a killed program leaves: a socket nobody listens at.
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
  assert.ok(existsSync(path));
  const next = await socketLine(path, new Sink().events);
  await next.close();
});

test('pseudo-terminal: every byte both ways, also after a program left and another came', async () => {
  const sink = new Sink();
  const line = ptyLine(sink.events);
  const all = Uint8Array.from({ length: 256 }, (_, at) => at);
  for (let round = 0; round < 2; round++) {
    const fd = openSync(line.where!, constants.O_RDWR | constants.O_NOCTTY);
    const program = new ReadStream(fd);
    const heard = new Sink();
    program.on('data', (bytes) => heard.add(bytes));
    writeSync(fd, all);
    assert.is(Buffer.compare(await sink.take(256), all), 0);
    line.write(all);
    assert.is(Buffer.compare(await heard.take(256), all), 0);
    const closed = once(program, 'close');
    program.destroy();
    await closed;
  }
  await line.close();
  await line.close();
});

test('pseudo-terminal: much output reaches a slow reader whole', async () => {
  const line = ptyLine(new Sink().events);
  const fd = openSync(line.where!, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  const program = new ReadStream(fd);
  const heard = new Sink();
  program.on('data', (bytes) => heard.add(bytes));
  const sent = seededRandom().bytes(60_000);
  line.write(sent);
  assert.is(Buffer.compare(await heard.take(sent.length), sent), 0);
  program.destroy();
  await line.close();
});

test('pseudo-terminal: hung up by somebody, it serves on, raw as before', async () => {
  const sink = new Sink();
  const said: string[] = [];
  const line = ptyLine({ ...sink.events, onNotice: (words) => said.push(words) });
  for (let round = 1; round <= 2; round++) {
    // As a getty does with its line.
    const hangup =
      'import os,fcntl,sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDWR|os.O_NOCTTY), 0x5437)';
    const { status, stderr } = spawnSync('python3', ['-c', hangup, line.where!]);
    // Only root may.
    if (/not permitted/.test(String(stderr))) return await line.close();
    assert.is(status, 0, String(stderr));
    await until('taken again', () => said.length === round && line.trouble === null, SOON_MS);
    for (let program = 0; program < 2; program++) {
      const fd = openSync(line.where!, constants.O_RDWR | constants.O_NOCTTY);
      const reader = new ReadStream(fd);
      const heard = new Sink();
      reader.on('data', (bytes) => heard.add(bytes));
      writeSync(fd, 'hello\r');
      assert.is(String(await sink.take(6)), 'hello\r');
      line.write(Buffer.from('world\n'));
      assert.is(String(await heard.take(6)), 'world\n');
      const closed = once(reader, 'close');
      reader.destroy();
      await closed;
    }
  }
  await line.close();
});

test('socket: a file that was deleted is made again; who talks, talks on', async () => {
  const path = join(folder, 'deleted');
  const sink = new Sink();
  const line = await socketLine(path, sink.events);
  const first = connect(path);
  first.write('one');
  assert.is(String(await sink.take(3)), 'one');
  rmSync(path);
  await until('made again', () => existsSync(path) && line.trouble === null, SOON_MS);
  first.write('two');
  assert.is(String(await sink.take(3)), 'two');
  const second = connect(path);
  second.write('six');
  const closed = once(first, 'close');
  first.destroy();
  await closed;
  assert.is(String(await sink.take(3)), 'six');
  second.destroy();
  await line.close();
  assert.not.ok(existsSync(path));
});

test('what nobody reads is dropped beyond a limit', () => {
  const writer = new PtyWriter(() => 0);
  for (let i = 0; i < 100; i++) writer.write(new Uint8Array(1000));
  assert.is(writer.dropped, 100_000 - (64 << 10));
  writer.close();
  const open = new PtyWriter((bytes) => bytes.length);
  for (let i = 0; i < 100; i++) open.write(new Uint8Array(1000));
  assert.is(open.dropped, 0);
});

/** A guest that sends while it may, as one with CTS does; resolves when all is sent. */
async function sendWhileTaken(
  line: SerialLine,
  taken: { isNow: boolean; change: () => void },
  bytes: Uint8Array,
): Promise<number> {
  let waits = 0;
  for (let at = 0; at < bytes.length; at += 1024) {
    while (!taken.isNow) {
      waits++;
      await new Promise<void>((resolve) => {
        taken.change = resolve;
      });
    }
    line.write(bytes.subarray(at, at + 1024));
  }
  return waits;
}

function watched() {
  const taken = { isNow: true, told: [] as boolean[], change: () => {} };
  const onTaken = (isTaken: boolean) => {
    taken.isNow = isTaken;
    taken.told.push(isTaken);
    taken.change();
  };
  return { taken, events: { ...new Sink().events, onTaken } };
}

test('socket: a reader that sleeps or is not there is told, and nothing is lost for who heeds it', async () => {
  const { taken, events } = watched();
  const path = join(folder, 'slow');
  const line = await socketLine(path, events);
  assert.equal(taken.told, [false], 'nobody is there');
  const peer = connect(path);
  await once(peer, 'connect');
  while (!taken.isNow) await new Promise((resolve) => setImmediate(resolve));
  peer.pause();
  const sent = seededRandom().bytes(2 << 20);
  const sending = sendWhileTaken(line, taken, sent);
  while (taken.isNow) await new Promise((resolve) => setImmediate(resolve));
  const heard = new Sink();
  peer.on('data', (bytes) => heard.add(bytes));
  peer.resume();
  assert.is(Buffer.compare(await heard.take(sent.length), sent), 0);
  assert.ok((await sending) > 0);
  const closed = once(peer, 'close');
  peer.end();
  await closed;
  while (taken.isNow) await new Promise((resolve) => setImmediate(resolve));
  assert.equal([taken.told[0], taken.told[1], taken.told.at(-1)], [false, true, false]);
  await line.close();
});

test('pseudo-terminal: nothing is lost for who heeds that the reader sleeps', async () => {
  const { taken, events } = watched();
  const line = ptyLine(events);
  const sent = seededRandom().bytes(300_000);
  const sending = sendWhileTaken(line, taken, sent);
  assert.is(taken.isNow, false);
  const fd = openSync(line.where!, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  const program = new ReadStream(fd);
  const heard = new Sink();
  program.on('data', (bytes) => heard.add(bytes));
  assert.is(Buffer.compare(await heard.take(sent.length), sent), 0);
  assert.ok((await sending) > 0);
  program.destroy();
  await line.close();
});

test.run();

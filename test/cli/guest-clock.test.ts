// A guest whose host stood still: its clock comes back on its line, and never goes back.
import { mkdtempSync, truncateSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeFrame, FrameDecoder } from '../../firmware/host/net/frame-stream.ts';
import { GuestLine, question } from '../guest/guest-line.ts';
import { startPiped } from '../guest/twinstep.ts';
import { seededRandom, suite } from '../harness/index.ts';
import { buildGuest, needsGcc } from '../softcpu/guest.ts';

const test = suite('cli/guest-clock');
test.needs(needsGcc());

const ANSWER_MS = 3_000;
const STOP_MS = 1_000;
const folder = mkdtempSync(join(tmpdir(), 'twinstep-clock-'));

async function onCable(path: string): Promise<Socket> {
  for (;;) {
    const socket = connect(path);
    const isThere = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    if (isThere) return socket;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** One question at a time; an answer to one that was given up does not count. */
function asking(socket: Socket): () => Promise<Uint8Array | undefined> {
  const decoder = new FrameDecoder();
  const random = seededRandom('questions');
  let heard: (frame: Uint8Array) => void = () => {};
  socket.on('data', (bytes) => {
    for (const frame of decoder.push(bytes)) heard(frame);
  });
  return () =>
    new Promise((resolve) => {
      const mark = random.bytes(16);
      const timer = setTimeout(() => resolve(undefined), ANSWER_MS);
      heard = (frame) => {
        if (Buffer.compare(frame.subarray(68, 84), mark) !== 0) return;
        clearTimeout(timer);
        resolve(frame);
      };
      socket.write(encodeFrame(question(mark)));
    });
}

test(
  'a guest that stood still for a second makes it good within seconds, and its clock never goes back',
  async () => {
    const [disk, cable] = [join(folder, 'disk.img'), join(folder, 'cable')];
    writeFileSync(disk, '');
    truncateSync(disk, 4 << 20);
    const running = startPiped(
      ...['guest', '--kernel', buildGuest('plc'), '--memory', '8'],
      ...['--disk', disk, '--net', `socket=${cable}`, '--mac', '02:00:00:00:00:01'],
    );
    try {
      const line = new GuestLine(asking(await onCable(cable)));
      await line.talk(1_000);
      const start = await line.look();
      process.kill(running.pid, 'SIGSTOP');
      await new Promise((resolve) => setTimeout(resolve, STOP_MS));
      process.kill(running.pid, 'SIGCONT');
      await line.isBackOn(start, 'a stop of a second');
    } finally {
      await running.kill();
    }
  },
  { timeoutMs: 120_000 },
);

test.run();

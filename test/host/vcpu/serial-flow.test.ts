// Flow control in lockstep: 2 MiB to a guest that sleeps and holds RTS low, with a hand-over in the middle.
import { readFileSync } from 'node:fs';
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { buildGuest, needsGcc } from '../../softcpu/guest.ts';
import { fnv1a } from '../serial/fnv.ts';
import { Board, caughtUp, sync } from './twin.ts';

const test = suite('host/vcpu/serial-flow');
test.needs(needsGcc());

const TOTAL = 2 << 20;
/** Under way to a board at most, as its backends have it. */
const UNDER_WAY_MAX = 16 << 10;
const CHUNK = 4096;

const flow = () => ({
  memoryBytes: 8 << 20,
  kernel: new Uint8Array(readFileSync(buildGuest('flow', `TOTAL=${TOTAL}`))),
  initrd: undefined,
  commandLine: '',
});

/** Sends from `at` on until `end`, never more under way than the board may have. */
async function feed(board: Board, bytes: Uint8Array, from: number, end: number): Promise<void> {
  const before = board.serialTaken;
  for (let at = from; at < end; ) {
    const room = UNDER_WAY_MAX - (at - from - (board.serialTaken - before));
    const chunk = bytes.subarray(at, Math.min(end, at + Math.min(CHUNK, room)));
    at += chunk.length;
    if (chunk.length > 0)
      board.vcpu.send([{ kind: 'serial-rx', port: 'com2', bytes: chunk.slice() }]);
    else await board.more(1);
  }
}

test(
  'both boards hold back alike; what was logged is never lost, nor given twice',
  async () => {
    const random = seededRandom('serial flow');
    const bytes = random.bytes(TOTAL);
    const a = await new Board('a', flow(), random).start();
    await a.until(() => a.text.includes('go'));
    const b = new Board('b', flow(), random);
    await sync(a, b);
    await feed(a, bytes, 0, TOTAL / 2);
    await caughtUp(a, b);
    // What it took before it stood still is in the log.
    const logged = a.serialTaken;
    assert.ok(logged > TOTAL / 2 - UNDER_WAY_MAX - CHUNK, `${logged} bytes in the log`);
    a.mute();
    await b.goLive(true);
    // What did not get into the log is the sender's to say again.
    await feed(b, bytes, logged, TOTAL);
    await b.until(() => b.text.includes('done'));
    assert.match(b.text, `lost ${'0'.repeat(16)} hash ${fnv1a(bytes)}`);
    await a.stop();
    await b.stop();
  },
  { timeoutMs: 150_000 },
);

test.run();

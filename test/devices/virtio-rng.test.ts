// The entropy device, and the generator against published vectors and a second implementation.
import { createCipheriv } from 'node:crypto';
import { chachaBlock } from '../../firmware/devices/chacha.ts';
import { ChaChaGenerator } from '../../firmware/devices/virtio-rng/generator.ts';
import { REQUEST_BYTES_MAX, VirtioRng } from '../../firmware/devices/virtio-rng/rng.ts';
import { assert, suite } from '../harness/index.ts';
import { VirtioDriver } from './virtio/driver.ts';
import { TestPc, type Wiring } from './virtio/pc.ts';
import { demandEqualAfterTakeover } from './virtio/script.ts';

const test = suite('devices/virtio-rng');

const SEED = Uint8Array.from({ length: 32 }, (_, i) => i);
const build = ({ ram, intx }: Wiring) => new VirtioRng({ ram, intx, seed: SEED });
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

test('the block function is that of RFC 8439, 2.3.2', () => {
  const block = new Uint8Array(64);
  chachaBlock(SEED, 1, Uint32Array.of(0x09000000, 0x4a000000, 0), block, 0);
  assert.is(
    hex(block),
    '10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e' +
      'd2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e',
  );
});

test('requests are key erasure over that, by a second implementation', () => {
  const generator = new ChaChaGenerator(SEED);
  let key = SEED;
  const nonce = Buffer.alloc(16);
  nonce.write('virtio-rng', 4);
  for (const bytes of [0, 1, 32, 33, 64, 500, 4096]) {
    const cipher = createCipheriv('chacha20', key, nonce);
    const stream = cipher.update(Buffer.alloc(32 + bytes));
    key = new Uint8Array(stream.subarray(0, 32));
    const got = new Uint8Array(bytes);
    generator.fill(got);
    assert.is(hex(got), stream.subarray(32).toString('hex'), `${bytes} bytes`);
    assert.is(hex(generator.state()), hex(key));
  }
});

test('a seed has 32 bytes', () => {
  assert.throws(() => new ChaChaGenerator(new Uint8Array(31)), /32 bytes/);
});

test('fills buffers, at most 4096 bytes of one chain', () => {
  const pc = new TestPc(build);
  const driver = new VirtioDriver(pc).start();
  const queue = driver.queues[0]!;
  queue.add({ writable: [16] });
  queue.add({ writable: [10, 0, 20] });
  queue.add({ readable: [Uint8Array.of(1)], writable: [3000, 3000] });
  queue.add({ readable: [Uint8Array.of(1)] });
  queue.kick();
  const used = queue.collect();
  assert.equal(
    used.map(({ bytesWritten }) => bytesWritten),
    [16, 30, REQUEST_BYTES_MAX, 0],
  );
  const expected = new ChaChaGenerator(SEED);
  for (const { bytesWritten, data } of used) {
    const bytes = new Uint8Array(bytesWritten);
    expected.fill(bytes);
    assert.equal(data.subarray(0, bytesWritten), bytes);
    assert.ok(data.subarray(bytesWritten).every((byte) => byte === 0xee));
  }
  assert.is(pc.interrupt, true);
});

test('neither reset brings the same numbers again', () => {
  const pc = new TestPc(build);
  const seen = new Set<string>();
  const draw = () => {
    const queue = new VirtioDriver(pc).start().queues[0]!;
    queue.add({ writable: [16] });
    queue.kick();
    seen.add(hex(queue.collect()[0]!.data));
  };
  draw();
  draw();
  pc.reset();
  draw();
  assert.is(seen.size, 3);
});

test('a takeover in the middle changes nothing', () => {
  demandEqualAfterTakeover({
    label: 'rng',
    build,
    scripts: 60,
    steps: 60,
    step: ({ driver, random, log }) => {
      const queue = driver.queues[0]!;
      if (queue.freeSlots > 2)
        queue.add({ writable: [random.int(100), random.int(50)], indirect: random.chance(0.5) });
      if (random.chance(0.5)) queue.kick();
      if (random.chance(0.3)) log.push(queue.collect(), driver.takeInterrupt());
      if (random.chance(0.02)) driver.start();
    },
  });
});

test.run();

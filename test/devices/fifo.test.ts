import { Fifo } from '../../firmware/devices/fifo.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('devices/fifo');

test('does what an array does, from the front', () => {
  const random = seededRandom('fifo');
  const queue = new Fifo<number>();
  let array: number[] = [];
  const steps: (() => void)[] = [
    () => {
      const item = random.u32();
      queue.push(item);
      array.push(item);
    },
    () => assert.is(queue.shift(), array.shift()),
    () => {
      const count = random.int(6);
      queue.drop(count);
      array = array.slice(count);
    },
    () => {
      if (array.length === 0) return;
      queue.replaceLast(7);
      array[array.length - 1] = 7;
    },
  ];
  for (let step = 0; step < 50_000; step++) {
    // Grows long, then runs empty, and so on.
    const isGrowing = Math.floor(step / 5000) % 2 === 0;
    (isGrowing && random.chance(0.8) ? steps[0]! : random.pick(steps))();
    assert.is(queue.length, array.length);
    assert.is(queue.first, array[0]);
    assert.is(queue.last, array.at(-1));
    if (step % 1000 === 0) assert.equal([...queue], array);
  }
  assert.equal(queue.takeAll(), array);
  assert.is(queue.length, 0);
  assert.is(queue.last, undefined);
  assert.throws(() => queue.replaceLast(1), /no last/);
});

test('a hundred thousand items cost no more each than ten do', () => {
  const started = process.hrtime.bigint();
  const queue = new Fifo(Array.from({ length: 400_000 }, (_, i) => i));
  for (let i = 0; i < 400_000; i++) {
    queue.push(i);
    queue.shift();
  }
  // An array takes more than a minute for this.
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  assert.ok(seconds < 10, `${seconds} s`);
});

test.run();

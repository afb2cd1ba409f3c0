// The arithmetic of the bench frame, on figures whose answer is known.
import { assert, suite } from '../harness/index.ts';
import { compare, describe, format, quantile, series } from './frame.ts';

const test = suite('bench/frame');

test('quantiles interpolate between order statistics', () => {
  assert.is(quantile([3, 1, 2], 0.5), 2);
  assert.is(quantile([4, 1, 2, 3], 0.5), 2.5);
  assert.is(quantile([10], 0.99), 10);
  assert.throws(() => quantile([], 0.5), /nothing/);
});

test('spread is the interquartile range over the median', () => {
  assert.is(series('x', [10, 10, 10, 10, 10]).spread, 0);
  assert.is(series('x', [8, 9, 10, 11, 12]).spread, 0.2);
});

test('contestants alternate and the ratio is ours over the peer', async () => {
  const order: string[] = [];
  const contestant = (name: string, value: number) => ({
    name,
    run: () => {
      order.push(name);
      return value;
    },
  });
  const result = await compare({
    name: 'order',
    unit: 'ms',
    better: 'lower',
    rounds: 3,
    ours: contestant('a', 2),
    peer: contestant('b', 4),
  });
  assert.is(order.join(''), 'abbaab');
  assert.is(result.ratio, 0.5);
  assert.match(describe(result), 'ratio 0.500 (lower is better)');
});

test('figures are written with three significant digits', () => {
  assert.equal([0, 0.01234, 1.234, 123456].map(format), ['0', '0.0123', '1.23', '123,456']);
});

test.run();

import { seededRandom, suite } from '../index.ts';

const test = suite('seed');
test('shows its numbers', () => {
  const random = seededRandom('case');
  throw new Error(`numbers ${random.u32()} ${random.u32()}`);
});
test.run();

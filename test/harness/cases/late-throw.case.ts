// The test is over when its leftovers throw.
import { suite } from '../index.ts';

const test = suite('late throw');
test('leaves a timer behind', () => {
  setTimeout(() => {
    throw new Error('too late');
  }, 50);
});
test.run();

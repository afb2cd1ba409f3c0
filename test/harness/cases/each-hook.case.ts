import { suite } from '../index.ts';

const test = suite('each hook');
test.after.each(() => {
  throw new Error('clean-up broke');
});
test('looks fine', () => {});
test.run();

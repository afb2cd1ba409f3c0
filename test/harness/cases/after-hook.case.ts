import { suite } from '../index.ts';

const test = suite('after hook');
test('looks fine', () => {});
test.after(() => {
  throw new Error('tear-down broke');
});
test.run();

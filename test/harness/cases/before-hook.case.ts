import { suite } from '../index.ts';

const test = suite('before hook');
test.before(() => {
  throw new Error('set-up broke');
});
test('looks fine', () => {});
test.run();

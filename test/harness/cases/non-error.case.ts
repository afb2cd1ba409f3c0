import { suite } from '../index.ts';

const test = suite('non-error');
test('rejects with nothing', () => Promise.reject());
test('throws a string', () => {
  throw 'words';
});
test('good after both', () => {});
test.run();

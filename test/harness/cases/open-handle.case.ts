// All tests pass and the process stays.
import { suite } from '../index.ts';

const test = suite('open handle');
test('leaves an interval behind', () => {
  setInterval(() => {}, 1000);
});
test.run();

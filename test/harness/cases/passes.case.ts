import { assert, suite } from '../index.ts';

const test = suite('passes');
test('one', () => assert.is(1, 1));
test('two', async () => assert.equal({ a: 1 }, { a: 1 }));
test.run();

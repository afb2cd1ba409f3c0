import { assert, suite } from '../index.ts';

const test = suite('fails');
test('good', () => assert.is(1, 1));
test('bad', () => assert.is(1, 2));
test('good after bad', () => assert.is(1, 1));
test.run();

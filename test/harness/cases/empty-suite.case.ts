import { suite } from '../index.ts';

const test = suite('empty');
test.run();

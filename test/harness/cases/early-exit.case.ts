import { suite } from '../index.ts';

const test = suite('early exit');
test('ends the process', () => process.exit(0));
test('never reached', () => {});
test.run();

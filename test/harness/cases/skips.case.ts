import { suite } from '../index.ts';

const test = suite('skips');
test.needs({ met: false, why: 'needs a moon' });
test('on the moon', () => {
  throw new Error('must not run');
});
test.run();

const other = suite('skips one');
other.skip('not yet', 'needs patience');
other('runs', () => {});
other.run();

import { suite } from '../index.ts';

const first = suite('runs');
first('fine', () => {});
first.run();

const second = suite('forgets');
second('would fail', () => {
  throw new Error('never seen');
});

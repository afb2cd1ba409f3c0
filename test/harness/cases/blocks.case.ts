// Never gives the event loop back: no timer inside the file can end this one.
import { suite } from '../index.ts';

const test = suite('blocks');
test(
  'spins for ever',
  () => {
    for (;;);
  },
  { timeoutMs: 200 },
);
test.run();

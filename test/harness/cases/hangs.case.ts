// Waits for something that never comes, with a handle that keeps the process alive.
import { suite } from '../index.ts';

const test = suite('hangs');
test('waits for ever', () => new Promise(() => setInterval(() => {}, 1000)), { timeoutMs: 200 });
test('never reached', () => {});
test.run();

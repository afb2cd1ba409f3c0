// Blocks inside a namespace with a second one open: nothing of either may be left.
import { suite } from '../index.ts';
import { enterNamespace, newNamespace } from '../netns.ts';

await enterNamespace();
const test = suite('netns-blocks');
test(
  'spins for ever',
  async () => {
    const { pid } = await newNamespace();
    console.log(`pids ${process.ppid} ${process.pid} ${pid}`);
    for (;;);
  },
  { timeoutMs: 500 },
);
test.run();

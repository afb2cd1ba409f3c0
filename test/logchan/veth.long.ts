// A gibibyte through a link that loses, repeats, reorders and flips bits, and one through a clean one.
import { NO_FAULTS } from '../../logchan/faulty-line.ts';
import { needs, suite } from '../harness/index.ts';
import { enterNamespace } from './namespace.ts';
import { TwoBoards, transfer } from './transfer.ts';

enterNamespace();
const test = suite('logchan/veth long');
test.needs(needs.networkNamespaces());
const MIB = 1 << 20;
const bad = { ...NO_FAULTS, lossChance: 0.01, duplicateChance: 0.01, flipChance: 0.01 };

for (const [name, faults] of [
  ['clean', undefined],
  ['bad', { ...bad, delayUs: 0, jitterUs: 200 }],
] as const) {
  test(
    `a gibibyte over a ${name} link`,
    async () => {
      const boards = await TwoBoards.start({ mtu: 9000, ...(faults && { faults }) });
      try {
        const startMs = performance.now();
        await transfer(boards, 128 * MIB, 896 * MIB);
        const seconds = (performance.now() - startMs) / 1000;
        const { repeatedBytes, timeouts } = boards.channel.state();
        console.log(
          `1 GiB over a ${name} link: ${seconds.toFixed(1)} s, ${(1024 / seconds).toFixed(0)} MiB/s, ` +
            `${(repeatedBytes / MIB).toFixed(1)} MiB repeated, ${timeouts} time-outs`,
        );
      } finally {
        await boards.end();
      }
    },
    { timeoutMs: 3_600_000 },
  );
}

test.run();

// Boards started in every state a plant may leave them in, as processes; what comes later is taken without
// a new start. docs/starts.md is written from the same lines.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert, needs, suite } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { chosenStarts, SEED } from './chosen.ts';
import { type Start, wordsOf } from './factors.ts';
import { Lane } from './lane.ts';
import { Trial } from './trial.ts';

await enterNamespace();
const test = suite('starts/starts');
test.needs(needs.networkNamespaces());
test.needs(needs.command('gcc'));

/** Starts that are tried at the same time: a board spends most of its time waiting. */
const LANES = Number(process.env.TWINSTEP_LANES ?? 5);
/** TWINSTEP_START=3,17 tries these alone. */
const only = process.env.TWINSTEP_START?.split(',').map(Number);

interface Numbered {
  readonly number: number;
  readonly start: Start;
}

test(
  'every start is as expected, and what was missing is taken when it comes',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'twinstep-starts-'));
    const all = chosenStarts().map((start, n) => ({ start, number: n + 1 }));
    const chosen = all.filter(({ number }) => only === undefined || only.includes(number));
    const waiting = [...chosen];
    const faults: string[] = [];
    const lane = async (number: number) => {
      const made = await Lane.make(number);
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const fault = await tried(made, next, join(folder, String(next.number)));
        if (fault !== null) faults.push(fault);
      }
      await made.close();
    };
    await Promise.all(Array.from({ length: LANES }, (_, n) => lane(n)));
    rmSync(folder, { recursive: true, force: true });
    assert.ok(faults.length === 0, faults.join('\n\n'));
    console.log(`${chosen.length} starts, chosen by seed ${SEED}`);
  },
  { timeoutMs: 900_000 },
);

/** Null, or in words what was not as it should be. */
async function tried(lane: Lane, { number, start }: Numbered, folder: string) {
  mkdirSync(folder);
  const begunMs = performance.now();
  const name = `start ${number} (${wordsOf(start)})`;
  const trial = new Trial(lane, start, folder);
  try {
    await trial.run();
    console.log(`${((performance.now() - begunMs) / 1000).toFixed(1)} s: ${name}`);
    return null;
  } catch (error) {
    const fault = `${name}: ${(error as Error).message}`;
    console.log(fault);
    return fault;
  } finally {
    await trial.close();
  }
}

test.run();

// Translator and interpreter side by side for TWINSTEP_SOAK_MINUTES (30), and at least as often as `ROUNDS` says:
// random programs, some of them mutated, hostile guests, and Linux boots whose digests, taken at random cuts, the
// other one must meet. Under the sanitizers: `npm run build:asan && npm run test:long -- --asan softcpu/translate.long`.
import { assert, needs, runSeed, suite } from '../harness/index.ts';
import { guestFiles, record, replay } from '../lockstep/recording.ts';
import { nativeProgram, runProgram } from './native.ts';

const test = suite('softcpu/translate, long');
test.needs(needs.command('g++'));

const sanitized = process.env.TWINSTEP_ADDON === 'Debug';
const MINUTES = Number(process.env.TWINSTEP_SOAK_MINUTES ?? '30') / 3;
const timeoutMs = (MINUTES + 120) * 60_000;
/** Five million programs and a hundred thousand guests; under the sanitizers 300,000 and 10,000. */
const ROUNDS = 100;

/** Calls `round` with one seed after the other; how often. */
function soak(round: (seed: number) => void, roundsMin = 1): number {
  const end = performance.now() + MINUTES * 60_000;
  let rounds = 0;
  do round(runSeed() + rounds++);
  while (rounds < roundsMin || performance.now() < end);
  return rounds;
}

/** The numbers of a program's last line added up. */
function sum(totals: Map<string, number>, said: string): void {
  for (const [, count, what] of said.matchAll(/(\d+) ([a-z ]+)/g)) {
    totals.set(what as string, (totals.get(what as string) ?? 0) + Number(count));
  }
}
const told = (totals: Map<string, number>) =>
  [...totals].map(([what, count]) => `${count} ${what}`).join(', ');

test(
  `random programs for ${MINUTES} minutes`,
  () => {
    const program = nativeProgram('translate-test', /^translate-test\.cc$/);
    const rounds = sanitized ? 3_000 : 50_000;
    const totals = new Map<string, number>();
    soak((seed) => sum(totals, runProgram(program, String(seed * rounds), String(rounds))), ROUNDS);
    console.log(told(totals));
  },
  { timeoutMs },
);

test(
  `hostile guests for ${MINUTES} minutes`,
  () => {
    const program = nativeProgram('sys-fuzz', /^sys-fuzz\.cc$/);
    const guests = sanitized ? 100 : 1_000;
    const rounds = soak(
      (seed) => void runProgram(program, String(seed * guests), String(guests)),
      ROUNDS,
    );
    console.log(`${rounds * guests} guests`);
  },
  { timeoutMs },
);

const files = guestFiles();
if (files === undefined) test.skip('Linux boots', 'needs packages of Debian\u2019s archive');
else
  test(
    `Linux boots for ${MINUTES} minutes, recorded with one and replayed with the other`,
    () => {
      let instructions = 0n;
      let digests = 0;
      const rounds = soak((seed) => {
        const interprets = seed % 2 === 0;
        const { rig, entries } = record(files, seed, { interprets });
        const replayed = replay(files, entries, undefined, !interprets);
        assert.is(replayed.progress, 'ended', `seed ${seed}`);
        assert.equal(replayed.rig.fingerprint(), rig.fingerprint(), `seed ${seed}`);
        instructions += rig.machine.position;
        digests += entries.filter(({ body }) => body.kind === 'digest').length;
        rig.close();
        replayed.rig.close();
      });
      console.log(`${rounds} boots, ${digests} digests, ${instructions} instructions`);
    },
    { timeoutMs },
  );

test.run();

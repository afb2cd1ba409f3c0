import { plantGuest } from '../guests/plant/plant.ts';
import { enterNamespace } from '../harness/netns.ts';
import { TwinRig } from './rig.ts';

const guest = plantGuest();
await enterNamespace();
const t0 = performance.now();
const say = (...words: unknown[]) =>
  console.log(((performance.now() - t0) / 1000).toFixed(2), ...words);
const rig = await TwinRig.make({
  guest,
  client: { lineMs: 10 },
  onEvent: (side, { code, text, data }) =>
    say(side, code, text, process.argv.includes('-v') ? JSON.stringify(data) : ''),
});
const verbs: Record<string, () => Promise<unknown>> = {
  start: () => rig.begin(),
  redundant: () => rig.redundant(),
  connect: () => rig.client.connect(),
  answers: () =>
    rig.client
      .answers(100, 20000)
      .then((w) =>
        say(
          'gap',
          w.longestGapMs,
          'lines',
          w.lines,
          'p50',
          [...w.latenciesMs].sort((x, y) => x - y)[w.latenciesMs.length >> 1],
        ),
      ),
  crash: async () => {
    const p = rig.primary!;
    rig.boards[p].crash();
    await rig.until('other leads', () => rig.primary !== undefined && rig.primary !== p, 10000);
  },
  crashb: async () => {
    const p = rig.backup!;
    rig.boards[p].crash();
    await rig.until('solo', () => rig.boards[rig.primary!].status?.role === 'solo', 10000);
  },
  hang: async () => {
    const p = rig.primary!;
    rig.boards[p].hang();
    await rig.until('other leads', () => rig.primary !== undefined && rig.primary !== p, 10000);
  },
  power: async () => {
    const p = rig.primary!;
    await rig.boards[p].cutPower();
    await rig.until('other leads', () => rig.primary !== undefined && rig.primary !== p, 10000);
    rig.boards[p].start();
  },
  pull: async () => {
    rig.network.pull('log', 'a');
    await rig.until('solo', () => rig.boards[rig.primary!]?.status?.role === 'solo', 10000);
    await rig.network.mend('log', 'a');
  },
  swap: async () => {
    const p = rig.primary!;
    await rig.boards[p].ask({ do: 'switch-over' });
    await rig.until('other leads', () => rig.primary !== undefined && rig.primary !== p, 10000);
  },
  status: async () => say(JSON.stringify([rig.boards.a.status, rig.boards.b.status], null, 1)),
};
try {
  for (const word of process.argv.slice(2).filter((w) => w !== '-v')) {
    say('---', word);
    await verbs[word]!();
    say('--- done', word);
  }
} catch (error) {
  say((error as Error).message);
}
say('faults', rig.client.faults);
const { execSync } = await import('node:child_process');
execSync(
  `mkdir -p /tmp/rig; cp ${rig.boards.a.path('output')} /tmp/rig/a.log; cp ${rig.boards.b.path('output')} /tmp/rig/b.log; true`,
);
await rig.close();
process.exit(0);

// Commit latency (append() of an urgent entry to acked()), encrypted, against the round trip of a bare
// frame between two C programs on the same veth; and where the time goes in between.
import type { Comparison } from './frame.ts';
import { compilePeer, type End, INTERFACE, type Program, unmeasurable, Veth } from './veth.ts';

const ROUND_TRIPS = 20_000;
const ENTRY_BYTES = 100;
/** Entry, its prefix, data section, header and tag. */
const FRAME_BYTES = ENTRY_BYTES + 1 + 12 + 32;

interface Latency {
  p50: number;
  p99: number;
}

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const skipped = unmeasurable();
  if (skipped !== undefined) return { skipped };
  const ping = compilePeer('packet-ping');
  const veth = await Veth.make(1500);
  process.on('exit', () => veth.close());

  const between = async (far: Program, near: () => Program): Promise<Latency> => {
    await far.ready();
    const result = await near().result<Latency>();
    await far.kill();
    return result;
  };
  const count = String(ROUND_TRIPS);
  const bytes = String(FRAME_BYTES);
  const run = (end: End, ...args: string[]) =>
    veth.runNode(end, 'logchan-end', INTERFACE[end], ...args);
  const bare = () =>
    between(veth.run('far', ping, INTERFACE.far, 'echo'), () =>
      veth.run('near', ping, INTERFACE.near, count, bytes),
    );
  const ports = () => between(run('far', 'echo'), () => run('near', 'ping', count, bytes));
  const channel = () =>
    between(run('far', 'sink'), () => run('near', 'commit', count, String(ENTRY_BYTES)));

  const comparison = (
    name: string,
    ours: [string, () => Promise<Latency>],
    figure: keyof Latency,
  ): Comparison => ({
    name: `log channel: ${name}, ${figure}`,
    unit: 'us',
    better: 'lower',
    rounds: 9,
    ours: { name: ours[0], run: async () => (await ours[1]())[figure] },
    peer: { name: 'C round trip', run: async () => (await bare())[figure] },
  });
  return [
    comparison('commit latency', ['append to acked', channel], 'p50'),
    comparison('commit latency', ['append to acked', channel], 'p99'),
    comparison('of that the ports in Node', ['bare port round trip', ports], 'p50'),
  ];
}

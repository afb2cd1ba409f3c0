// The replication of two boards in two processes over a veth: how long an output waits for its acknowledgement,
// against the raw round trip of the link; what sync-up of a full memory takes, against the log
// channel's bulk lane alone.
import { buildGuest, needsGcc } from '../softcpu/guest.ts';
import type { Comparison } from './frame.ts';
import { compilePeer, type End, INTERFACE, unmeasurable, Veth } from './veth.ts';

const MIB = 256;
const ASKS = 2_000;
/** A log piece of one input and its answer, in its frame. */
const FRAME_BYTES = 150;

interface Report {
  pauseMs: number;
  totalMs: number;
  pagesSent: number;
  p50: number;
  p99: number;
  stallMs99: number;
  stallMsMax: number;
}

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const skipped = unmeasurable() ?? (needsGcc().met ? undefined : needsGcc().why);
  if (skipped !== undefined) return { skipped };
  const ping = compilePeer('packet-ping');
  const veth = await Veth.make(9000);
  process.on('exit', () => veth.close());

  const pair = async (mib: number, asks: number): Promise<Report> => {
    const kernel = buildGuest('filler', `MIB=${mib}`);
    const args = [kernel, String(mib + 32)];
    const end = (which: End, ...more: string[]) =>
      veth.runNode(which, 'replication-end', INTERFACE[which], ...more);
    const far = end('far', 'follow', ...args);
    await far.ready();
    const report = await end('near', 'lead', ...args, String(asks)).result<Report>();
    await far.kill();
    return report;
  };
  const bare = async (): Promise<{ p50: number; p99: number }> => {
    const far = veth.run('far', ping, INTERFACE.far, 'echo');
    await far.ready();
    const near = veth.run('near', ping, INTERFACE.near, '10000', String(FRAME_BYTES));
    const result = await near.result<{ p50: number; p99: number }>();
    await far.kill();
    return result;
  };
  const lane = async (): Promise<number> => {
    const far = veth.runNode('far', 'logchan-end', INTERFACE.far, 'sink');
    await far.ready();
    const near = veth.runNode(
      'near',
      'logchan-end',
      INTERFACE.near,
      'send',
      'bulk',
      String(MIB),
      '65536',
    );
    const { us } = await near.result<{ us: number }>();
    await far.kill();
    return (us / 1e6) * (1024 / MIB);
  };
  /** Of the same run as the medians. */
  const p99s: number[] = [];
  const run = async (figure: 'p50' | 'p99') => {
    const kept = figure === 'p99' ? p99s.shift() : undefined;
    if (kept !== undefined) return kept;
    const report = await pair(1, ASKS);
    p99s.push(1000 * report.p99);
    return 1000 * report[figure];
  };
  const delay = (figure: 'p50' | 'p99'): Comparison => ({
    name: `replication: an output waits from made to released, ${figure}`,
    unit: 'us',
    better: 'lower',
    rounds: 3,
    ours: { name: 'output', run: () => run(figure) },
    peer: { name: 'C round trip', run: async () => (await bare())[figure] },
  });
  const perGib = async () => {
    const { totalMs, pauseMs, pagesSent, stallMs99, stallMsMax } = await pair(MIB, 10);
    const stalls = `event loop at most ${stallMsMax.toFixed(1)} ms, p99 ${stallMs99.toFixed(1)} ms`;
    console.log(`sync-up: pause ${pauseMs.toFixed(1)} ms, ${pagesSent} pages, ${stalls}`);
    return (totalMs / 1000) * (1024 / MIB);
  };
  return [
    delay('p50'),
    delay('p99'),
    {
      name: 'replication: sync-up of memory',
      unit: 's/GiB',
      better: 'lower',
      rounds: 3,
      ours: { name: 'sync-up', run: perGib },
      peer: { name: 'the bulk lane alone', run: lane },
    },
  ];
}

// Throughput with encryption against bare frames and against TCP on the same veth, and CPU time of
// both ends together per mebibyte.
import type { Comparison } from './frame.ts';
import { ADDRESS, compilePeer, type End, INTERFACE, unmeasurable, Veth } from './veth.ts';

const MIB = 96;
const ROUNDS = 7;
const ENTRY_BYTES = 32_000;

interface Flow {
  /** Mebibytes a second at the receiver. */
  speed: number;
  /** Milliseconds of CPU, both ends, a mebibyte. */
  cpu: number;
}

interface Half {
  bytes?: number;
  us?: number;
  cpuUs: number;
}

function flow(bytes: number, us: number, ...ends: Half[]): Flow {
  const mib = bytes / 2 ** 20;
  const cpuUs = ends.reduce((sum, end) => sum + end.cpuUs, 0);
  return { speed: (mib / us) * 1e6, cpu: cpuUs / 1000 / mib };
}

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const skipped = unmeasurable();
  if (skipped !== undefined) return { skipped };
  const blast = compilePeer('packet-blast');
  const tcp = compilePeer('tcp-blast');
  const mib = String(MIB);

  const made: Comparison[] = [];
  for (const mtu of [1500, 9000]) {
    const veth = await Veth.make(mtu);
    process.on('exit', () => veth.close());
    const node = (end: End, ...args: string[]) =>
      veth.runNode(end, 'logchan-end', INTERFACE[end], ...args);

    const bareFlow = async (): Promise<Flow> => {
      const far = veth.run('far', blast, INTERFACE.far, 'receive');
      await far.ready();
      const near = await veth.run('near', blast, INTERFACE.near, mib, String(mtu)).result<Half>();
      const got = await far.result<Required<Half>>();
      return flow(got.bytes, got.us, near, got);
    };
    const tcpFlow = async (): Promise<Flow> => {
      const far = veth.run('far', tcp, 'receive', '9000');
      await far.ready();
      const near = await veth.run('near', tcp, ADDRESS.far, '9000', mib).result<Half>();
      const got = await far.result<Required<Half>>();
      return flow(got.bytes, got.us, near, got);
    };
    const ourFlow = (lane: 0 | 1) => async (): Promise<Flow> => {
      const far = node('far', 'sink');
      await far.ready();
      const args = ['send', String(lane), mib, String(ENTRY_BYTES)];
      const near = await node('near', ...args).result<Required<Half>>();
      return flow(near.bytes, near.us, near, await far.result<Half>());
    };
    const rounds = new Rounds({
      entries: ourFlow(0),
      bulk: ourFlow(1),
      bare: bareFlow,
      stream: tcpFlow,
    });
    const comparison = (ours: Runner, peer: Runner, figure: keyof Flow): Comparison => ({
      name: `log channel: ${figure === 'speed' ? 'throughput' : 'CPU'}, MTU ${mtu}`,
      unit: figure === 'speed' ? 'MiB/s' : 'ms/MiB',
      better: figure === 'speed' ? 'higher' : 'lower',
      rounds: ROUNDS,
      ours: { name: NAMES[ours], run: rounds.reader(ours, figure) },
      peer: { name: NAMES[peer], run: rounds.reader(peer, figure) },
    });
    made.push(
      comparison('entries', 'bare', 'speed'),
      comparison('entries', 'stream', 'speed'),
      comparison('bulk', 'bare', 'speed'),
      comparison('bulk', 'stream', 'speed'),
      comparison('entries', 'bare', 'cpu'),
      comparison('entries', 'stream', 'cpu'),
      comparison('bulk', 'stream', 'cpu'),
    );
  }
  return made;
}

const NAMES = {
  entries: 'entries, encrypted',
  bulk: 'bulk, encrypted',
  bare: 'bare C frames, lossy',
  stream: 'TCP in C, not encrypted',
} as const;
type Runner = keyof typeof NAMES;
const RUNNERS = Object.keys(NAMES) as Runner[];

/** Each round runs all four, in an order that turns; every comparison reads the same rounds. */
class Rounds {
  private readonly flows: Record<Runner, () => Promise<Flow>>;
  private readonly measured: Promise<Record<Runner, Flow>>[] = [];

  constructor(flows: Record<Runner, () => Promise<Flow>>) {
    this.flows = flows;
  }

  /** Reads round after round of one figure. */
  reader(runner: Runner, figure: keyof Flow): () => Promise<number> {
    let next = 0;
    return async () => (await this.round(next++))[runner][figure];
  }

  private round(index: number): Promise<Record<Runner, Flow>> {
    this.measured[index] ??= this.measure(index);
    return this.measured[index];
  }

  private async measure(index: number): Promise<Record<Runner, Flow>> {
    const found: Partial<Record<Runner, Flow>> = {};
    for (let turn = 0; turn < RUNNERS.length; turn++) {
      const runner = RUNNERS[(index + turn) % RUNNERS.length] as Runner;
      found[runner] = await this.flows[runner]();
    }
    return found as Record<Runner, Flow>;
  }
}

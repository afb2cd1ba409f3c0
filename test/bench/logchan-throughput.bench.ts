// Throughput with encryption against bare frames and against TCP on the same veth, and CPU time of
// both ends together per mebibyte.
import type { Comparison } from './frame.ts';
import { ADDRESS, compilePeer, type End, INTERFACE, unmeasurable, Veth } from './veth.ts';

const MIB = 192;
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
    const comparison = (
      ours: [string, () => Promise<Flow>],
      peer: [string, () => Promise<Flow>],
      figure: keyof Flow,
    ): Comparison => ({
      name: `log channel: ${figure === 'speed' ? 'throughput' : 'CPU'}, MTU ${mtu}`,
      unit: figure === 'speed' ? 'MiB/s' : 'ms/MiB',
      better: figure === 'speed' ? 'higher' : 'lower',
      rounds: 5,
      ours: { name: ours[0], run: async () => (await ours[1]())[figure] },
      peer: { name: peer[0], run: async () => (await peer[1]())[figure] },
    });
    const entries: [string, () => Promise<Flow>] = ['entries, encrypted', ourFlow(0)];
    const bulk: [string, () => Promise<Flow>] = ['bulk, encrypted', ourFlow(1)];
    const bare: [string, () => Promise<Flow>] = ['bare C frames, lossy', bareFlow];
    const stream: [string, () => Promise<Flow>] = ['TCP in C, not encrypted', tcpFlow];
    made.push(
      comparison(entries, bare, 'speed'),
      comparison(entries, stream, 'speed'),
      comparison(bulk, bare, 'speed'),
      comparison(entries, bare, 'cpu'),
      comparison(entries, stream, 'cpu'),
    );
  }
  return made;
}

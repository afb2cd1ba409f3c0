// Two boards in two namespaces and so many bytes from one to the other, through faults, pulled
// cables and restarts. Used by veth.test.ts in small and by veth.long.ts for a gibibyte.
import { Channel, type ChannelHandler } from '../../logchan/channel.ts';
import type { ChannelEvent } from '../../logchan/endpoint.ts';
import type { Faults } from '../../logchan/faulty-line.ts';
import { FaultyPort } from '../../logchan/faulty-port.ts';
import { RingPort } from '../../logchan/ring-port.ts';
import { LANE, type Lane } from '../../logchan/sections.ts';
import { assert, seededRandom } from '../harness/index.ts';
import { type MorePaths, makeMore, makePort } from './more-paths.ts';
import { ip, makePair, Peer } from './namespace.ts';
import { StreamDigest, type StreamSummary, testChannelOptions } from './stream-digest.ts';

export interface Report {
  type: 'report';
  log: StreamSummary;
  bulk: StreamSummary;
}

/** The board on our side of the cable, and the one on the other. */
export class TwoBoards {
  readonly channel: Channel;
  readonly peer: Peer;
  readonly near: string;
  readonly far: string;
  readonly more: MorePaths;
  readonly events: ChannelEvent[] = [];
  /** Of all that was sent in this session, by lane. */
  digests = [new StreamDigest(), new StreamDigest()] as const;
  private wakes: (() => void)[] = [];

  private constructor(peer: Peer, near: string, far: string, more: MorePaths, faults?: Faults) {
    this.peer = peer;
    this.near = near;
    this.far = far;
    this.more = more;
    const wake = () => {
      for (const resolve of this.wakes.splice(0)) resolve();
    };
    const handler: ChannelHandler = {
      acked: wake,
      bulkAcked: wake,
      event: (event) => {
        this.events.push(event);
        if (event.type === 'down') this.digests = [new StreamDigest(), new StreamDigest()];
        wake();
      },
    };
    const port = new RingPort({ interface: near });
    const carrier =
      faults === undefined ? port : new FaultyPort(port, seededRandom('near'), faults);
    const others = more.near.map((path) => ({ port: makePort(path) }));
    const paths = [{ port: carrier }, ...others];
    this.channel = new Channel({ ...testChannelOptions, paths, handler });
  }

  static async start(
    options: {
      mtu?: number;
      faults?: Faults;
      more?: readonly ('card' | 'udp')[];
      firstIsOut?: boolean;
    } = {},
  ): Promise<TwoBoards> {
    const { mtu = 1500, faults } = options;
    const [near, far] = makePair(mtu);
    const more = makeMore(options.more ?? []);
    const args = { ...(faults !== undefined && { faults }), more: more.far };
    const peer = await Peer.start('channel-peer', far, { mtu, args, more: more.interfaces });
    const boards = new TwoBoards(peer, near, far, more, faults);
    if (options.firstIsOut) ip('link', 'set', near, 'down');
    boards.channel.start();
    await boards.until(() => boards.channel.isUp);
    return boards;
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.wakes.push(resolve));
  }

  /** Sends messages until there are `bytes` more of them, and waits until all are acknowledged. */
  async sendAll(lane: Lane, bytes: number, sizes: () => number): Promise<void> {
    const random = seededRandom('contents');
    const pool = random.bytes(1 << 20);
    const digest = this.digests[lane];
    const target = digest.bytes + bytes;
    let last = 0;
    while (digest.bytes < target) {
      const size = sizes();
      const at = random.int(pool.length - size);
      const message = pool.subarray(at, at + size);
      if (!this.channel.fits(size, lane)) {
        await this.until(() => this.channel.fits(size, lane) || !this.channel.isUp);
        if (!this.channel.isUp)
          throw new Error(`the session ended: ${JSON.stringify(this.events)}`);
      }
      digest.add(message);
      last =
        lane === LANE.log
          ? this.channel.append(message, { urgent: random.chance(0.1) })
          : this.channel.appendBulk(message);
    }
    await this.until(() => {
      const { ackedThrough, bulkAckedThrough } = this.channel;
      return (lane === LANE.log ? ackedThrough : bulkAckedThrough) >= last;
    });
  }

  async report(): Promise<Report> {
    this.peer.tell({ report: true });
    return this.peer.hears<Report>('report');
  }

  async end(): Promise<void> {
    this.channel.stop();
    for (const near of this.more.ours) ip('link', 'delete', near);
    await this.peer.end(this.near);
  }
}

/** Log and bulk together; what was acknowledged must be what the peer took. */
export async function transfer(boards: TwoBoards, logBytes: number, bulkBytes: number) {
  const random = seededRandom('sizes');
  await Promise.all([
    boards.sendAll(LANE.log, logBytes, () => 1 + random.int(random.pick([40, 1600, 20_000]))),
    boards.sendAll(LANE.bulk, bulkBytes, () => 1 + random.int(70_000)),
  ]);
  const report = await boards.report();
  const [log, bulk] = boards.digests;
  assert.equal(report.log, log.summary());
  assert.equal(report.bulk, bulk.summary());
  assert.is(boards.channel.ackedThrough, log.messages);
}

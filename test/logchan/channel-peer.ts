// A board for tests: a channel that takes what comes and says what it took.
//
// Told { restart: true } it loses its memory and starts again; { report: true } says how many messages
// it took and their digest; { send: n } appends n messages of its own.
import { Channel } from '../../logchan/channel.ts';
import type { Faults } from '../../logchan/faulty-line.ts';
import { FaultyPort } from '../../logchan/faulty-port.ts';
import type { Port } from '../../logchan/port.ts';
import { RingPort } from '../../logchan/ring-port.ts';
import { LANE } from '../../logchan/sections.ts';
import { seededRandom } from '../harness/index.ts';
import { type MorePath, makePort } from './more-paths.ts';
import { becomePeer, say } from './namespace.ts';
import { StreamDigest, testChannelOptions } from './stream-digest.ts';

interface Args {
  faults?: Faults;
  /** Paths beside the first. */
  more?: MorePath[];
}

interface Order {
  restart?: boolean;
  report?: boolean;
  leave?: boolean;
}

const { interfaceName, args } = await becomePeer();
const { faults, more = [] } = args as Args;

let digests: [StreamDigest, StreamDigest];
let channel: Channel;
let ports: Port[];

function start(): void {
  digests = [new StreamDigest(), new StreamDigest()];
  ports = [new RingPort({ interface: interfaceName }), ...more.map(makePort)];
  const [port] = ports as [Port];
  const carrier = faults === undefined ? port : new FaultyPort(port, seededRandom('peer'), faults);
  channel = new Channel({
    ...testChannelOptions,
    paths: [{ port: carrier }, ...ports.slice(1).map((port) => ({ port }))],
    handler: {
      readable: () => {
        for (const lane of [LANE.log, LANE.bulk]) {
          for (let message = channel.take(lane); message; message = channel.take(lane)) {
            digests[lane].add(message);
          }
        }
      },
      event: (event) => {
        if (event.type === 'up') say({ type: 'up', session: event.session });
        if (event.type === 'down') say({ type: 'down', why: event.why });
      },
    },
  });
  channel.start();
}

process.on('message', (order: Order) => {
  if (order.leave) channel.stop();
  if (order.restart) {
    // As a crash would: the port is gone, nobody says goodbye.
    for (const port of ports) port.close();
    channel.stop();
    start();
  }
  if (order.report) {
    const [log, bulk] = digests;
    say({ type: 'report', log: log.summary(), bulk: bulk.summary(), state: channel.state() });
  }
});
process.on('disconnect', () => process.exit());

start();
say({ type: 'ready' });

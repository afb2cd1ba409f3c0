// What goes over the wire, as a broker sees it: the CONNECT with its will, quality of service and retain
// of every packet. The broker is aedes, in this process, which shows them all.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Aedes } from 'aedes';
import type { Snapshot } from '../../firmware/scada/edge-node.ts';
import { ScadaSession } from '../../firmware/scada/session.ts';
import { assert, suite } from '../harness/index.ts';
import { Awaited } from './host.ts';
import { StrictHost } from './strict-host.ts';

const test = suite('scada/wire');

interface Seen {
  readonly what: 'connect' | 'subscribe' | 'publish' | 'disconnect';
  readonly topic: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly payload: Uint8Array;
  readonly isClean?: boolean;
}

/** Every packet of the edge node, in order. */
async function brokerOf(seen: Awaited<Seen>) {
  const broker = await Aedes.createBroker({
    preConnect: (client, packet, done) => {
      const { will, clean } = packet as {
        will: { topic: string; qos: number; retain: boolean; payload: Buffer };
        clean: boolean;
      };
      seen.add({ what: 'connect', ...will, payload: will.payload, isClean: clean });
      void client;
      done(null, true);
    },
  });
  broker.on('subscribe', (subscriptions) => {
    for (const { topic, qos } of subscriptions) {
      seen.add({ what: 'subscribe', topic, qos, retain: false, payload: Buffer.alloc(0) });
    }
  });
  broker.on('publish', ({ topic, qos, retain, payload }, client) => {
    if (client !== null) {
      seen.add({ what: 'publish', topic, qos, retain, payload: Buffer.from(payload) });
    }
  });
  broker.on('clientDisconnect', () => {
    seen.add({ what: 'disconnect', topic: '', qos: 0, retain: false, payload: Buffer.alloc(0) });
  });
  const server = createServer(broker.handle);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return { broker, server, port };
}

const SOLO: Snapshot = {
  node: [{ name: 'Board/Role', type: 'string', value: 'solo' }],
  device: [{ name: 'Guest/State', type: 'string', value: 'leading' }],
};

test('CONNECT, will, subscription, births and death as the specification wants them', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-scada-wire-'));
  const seen = new Awaited<Seen>();
  const { broker, server, port } = await brokerOf(seen);
  const session = new ScadaSession({
    config: {
      servers: [{ host: '127.0.0.1', port, isTls: false }],
      ...{ group: 'plant', node: 'board-a', device: 'guest', primaryHost: undefined },
      ...{ keepaliveS: 5, login: undefined, tls: undefined, statusTopic: undefined },
      homeAssistant: false,
    },
    bdSeqFile: join(folder, 'bdseq'),
    wallMs: () => Date.now(),
    onNotice: () => {},
  });
  session.update(SOLO);
  session.start();
  await seen.until(({ topic }) => topic.includes('DBIRTH'));
  session.update({ ...SOLO, device: undefined });
  await seen.until(({ topic }) => topic.includes('DDEATH'));
  await session.stop('test ends');
  await seen.until(({ what }) => what === 'disconnect');

  const [connect, subscribe, ...rest] = seen.all;
  assert.equal(
    [connect?.what, connect?.isClean, connect?.topic, connect?.qos, connect?.retain],
    ['connect', true, 'spBv1.0/plant/NDEATH/board-a', 1, false],
  );
  assert.equal(
    [subscribe?.what, subscribe?.topic, subscribe?.qos],
    ['subscribe', 'spBv1.0/plant/NCMD/board-a', 1],
  );
  const host = new StrictHost();
  host.connect({ topic: connect!.topic, payload: connect!.payload });
  host.take([{ do: 'subscribe', topics: [] }]);
  for (const { what, topic, qos, retain, payload } of rest) {
    if (what !== 'publish') continue;
    assert.equal([qos, retain], [0, false], topic);
    host.hear(topic, payload);
  }
  assert.equal(host.kinds, ['NBIRTH', 'DBIRTH', 'DDEATH', 'NDEATH']);
  assert.is(rest.at(-1)?.what, 'disconnect', 'the death comes before the end');
  server.close();
  await new Promise<void>((resolve) => broker.close(() => resolve()));
  rmSync(folder, { recursive: true });
});

test.run();

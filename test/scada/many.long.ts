// 500 pairs on one broker: every board is born, the broker dies, every board is born again under its next
// number. Prints how long both took.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Snapshot } from '../../firmware/scada/edge-node.ts';
import { ScadaSession } from '../../firmware/scada/session.ts';
import { assert, suite } from '../harness/index.ts';
import { bdSeqOf, Host } from './host.ts';
import { hasMosquitto, Mosquitto } from './mosquitto.ts';

const test = suite('scada/many');
test.needs(hasMosquitto);

const PAIRS = 500;
const NAMES = Array.from({ length: PAIRS }, (_, n) => [`${n}a`, `${n}b`]).flat();

const snapshotOf = (name: string): Snapshot => ({
  node: Array.from({ length: 40 }, (_, n) => ({
    ...{ name: `Board/Metric ${n}`, type: 'string' as const, value: name },
  })),
  device: name.endsWith('a') ? [{ name: 'Guest/State', type: 'string', value: 'x' }] : undefined,
});

test(
  'all are born, and born again after the broker died',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'twinstep-scada-many-'));
    const broker = await Mosquitto.start();
    let host = await Host.connect(broker);
    const boards = NAMES.map((node) => {
      const board = new ScadaSession({
        config: {
          servers: [{ host: '127.0.0.1', port: broker.port, isTls: false }],
          ...{ group: 'plant', node, device: 'guest', primaryHost: undefined, keepaliveS: 30 },
          ...{ login: undefined, tls: undefined, statusTopic: undefined, homeAssistant: false },
        },
        bdSeqFile: join(folder, node),
        wallMs: () => Date.now(),
        onNotice: () => {},
      });
      board.update(snapshotOf(node));
      return board;
    });
    const allBorn = async (bdSeq: number) => {
      const startedMs = performance.now();
      const missing = new Set(NAMES);
      for (let seen = 0; missing.size > 0; ) {
        await host.heard.until(() => true, seen);
        for (const heard of host.heard.all.slice(seen)) {
          if (heard.kind === 'NBIRTH' && bdSeqOf(heard) === bdSeq) missing.delete(heard.node);
          seen++;
        }
      }
      return ((performance.now() - startedMs) / 1000).toFixed(1);
    };
    for (const board of boards) board.start();
    const firstS = await allBorn(0);
    await host.client.endAsync(true);
    await broker.kill();
    await broker.start();
    host = await Host.connect(broker);
    const againS = await allBorn(1);
    console.log(
      `${NAMES.length} boards born in ${firstS} s, again after the broker in ${againS} s`,
    );
    await Promise.all(boards.map((board) => board.stop('test ends')));
    await host.client.endAsync(true);
    await broker.close();
    rmSync(folder, { recursive: true });
    assert.ok(true);
  },
  { timeoutMs: 300_000 },
);

test.run();

// The edge node's order of things, without a broker: what the specification demands is checked on every
// message by a host that follows its rules.
import {
  type EdgeAction,
  EdgeNode,
  HOST_WAIT_MS,
  NODE_REBIRTH,
  type Snapshot,
} from '../../firmware/scada/edge-node.ts';
import { decodePayload, encodePayload } from '../../firmware/scada/payload.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';
import { StrictHost } from './strict-host.ts';

const test = suite('scada/edge-node');
const OPTIONS = {
  ...{ group: 'plant', node: 'board-a', device: 'guest' },
  ...{ primaryHost: undefined, hasMoreServers: false, backlogMax: 5 },
};
const SOLO: Snapshot = {
  node: [{ name: 'Board/Role', type: 'string', value: 'solo' }],
  device: [{ name: 'Guest/State', type: 'string', value: 'leading' }],
};
const BACKUP: Snapshot = {
  node: [{ name: 'Board/Role', type: 'string', value: 'backup' }],
  device: undefined,
};

const command = (value: boolean, name = NODE_REBIRTH) =>
  encodePayload({
    timestampMs: 1,
    seq: undefined,
    metrics: [{ name, type: 'boolean', value, timestampMs: 1 }],
  });
const NCMD = 'spBv1.0/plant/NCMD/board-a';
const STATE = 'spBv1.0/STATE/scada';
const state = (online: boolean, timestamp: number) =>
  Buffer.from(JSON.stringify({ online, timestamp }));

function born(node: EdgeNode, host: StrictHost, bdSeq = 0): void {
  host.connect(node.will(bdSeq, 1));
  host.take(node.connected(bdSeq));
  host.take(node.subscribed(2));
}

test('nothing is published before the birth, and the birth lists all', () => {
  const [node, host] = [new EdgeNode(OPTIONS), new StrictHost()];
  assert.equal(node.update(SOLO, 1), []);
  born(node, host, 7);
  assert.equal(host.kinds, ['NBIRTH', 'DBIRTH']);
  assert.is(host.bdSeq, 7);
  assert.is(host.nodeMetrics.get('Board/Role'), 'solo');
  assert.is(host.deviceMetrics?.get('Guest/State'), 'leading');
});

test('what changed goes out, what did not does not', () => {
  const [node, host] = [new EdgeNode(OPTIONS), new StrictHost()];
  node.update(SOLO, 1);
  born(node, host);
  assert.equal(node.update(SOLO, 3), []);
  host.take(node.update(BACKUP, 4));
  assert.equal(host.kinds.slice(2), ['NDATA', 'DDEATH']);
  assert.is(host.deviceMetrics, undefined);
  host.take(node.update(SOLO, 5));
  assert.equal(host.kinds.slice(4), ['NDATA', 'DBIRTH']);
});

test('a rebirth keeps bdSeq and starts the sequence anew', () => {
  const [node, host] = [new EdgeNode(OPTIONS), new StrictHost()];
  node.update(SOLO, 1);
  born(node, host, 3);
  host.take(node.message(NCMD, command(true), 9));
  assert.equal(host.kinds, ['NBIRTH', 'DBIRTH', 'NBIRTH', 'DBIRTH']);
  assert.is(host.bdSeq, 3);
});

test('everything else on the command topic changes a counter and nothing more', () => {
  const [node, host] = [new EdgeNode(OPTIONS), new StrictHost()];
  node.update(SOLO, 1);
  born(node, host);
  const random = seededRandom();
  const noise = Array.from({ length: 500 }, () => random.bytes(random.int(200)));
  for (const bytes of [command(false), command(true, 'Node Control/Reboot'), ...noise]) {
    assert.equal(node.message(NCMD, bytes, 3), []);
  }
  assert.is(node.counters.ignored, 502);
  assert.equal(node.message('spBv1.0/plant/DCMD/board-a/guest', command(true), 3), []);
});

test('with a primary host: births wait for it, and end with it', () => {
  const [node, host] = [new EdgeNode({ ...OPTIONS, primaryHost: 'scada' }), new StrictHost()];
  node.update(SOLO, 1);
  born(node, host);
  assert.equal(host.kinds, []);
  host.take(node.message(STATE, state(false, 10), 3));
  assert.equal(host.kinds, []);
  host.take(node.message(STATE, state(true, 11), 3));
  assert.equal(host.kinds, ['NBIRTH', 'DBIRTH']);
  assert.equal(node.message(STATE, state(false, 5), 4), [], 'an old word says nothing');
  const actions = node.message(STATE, state(false, 12), 4);
  host.take(actions);
  assert.is(host.kinds.at(-1), 'NDEATH');
  assert.equal(actions.at(-1), {
    do: 'disconnect',
    walk: true,
    why: 'the primary host "scada" is offline here',
  });
});

test('what the primary host said on one connection says nothing on the next', () => {
  const [node, host] = [new EdgeNode({ ...OPTIONS, primaryHost: 'scada' }), new StrictHost()];
  node.update(SOLO, 1);
  born(node, host);
  host.take(node.message(STATE, state(true, 1_000), 3));
  node.disconnected();
  host.lost();
  born(node, host, 1);
  assert.is(node.phase, 'waiting', 'it was online elsewhere');
  // Another server has the state of another connection of the host, older by its clock.
  host.take(node.message(STATE, state(true, 10), 4));
  assert.is(node.phase, 'born');
  host.take(node.message(STATE, state(false, 20), 5));
  assert.is(node.phase, 'away');
  born(node, host, 2);
  assert.is(node.phase, 'waiting', 'it was offline elsewhere');
  assert.equal(host.kinds, ['NBIRTH', 'DBIRTH', 'NBIRTH', 'DBIRTH', 'NDEATH']);
});

test('with more servers a primary host that is not here is looked for there', () => {
  const options = { ...OPTIONS, primaryHost: 'scada', hasMoreServers: true };
  const walks = { do: 'disconnect', walk: true } as const;
  const last = (actions: readonly EdgeAction[]) => {
    const { why: _, ...rest } = { why: '', ...actions.at(-1) };
    return rest;
  };
  const node = new EdgeNode(options);
  node.connected(0);
  assert.equal(node.subscribed(2), [{ do: 'wait', ms: HOST_WAIT_MS }]);
  assert.equal(last(node.message(STATE, state(false, 5), 3)), walks, 'offline: at once');
  assert.equal(node.waited(3), [], 'the wait of a connection that is over');
  node.connected(1);
  node.subscribed(4);
  assert.equal(last(node.waited(5)), walks, 'absent: after a while');
  node.connected(2);
  assert.equal(node.message(STATE, state(false, 5), 3), [], 'before the subscription is answered');
  assert.equal(last(node.subscribed(6)), walks);
  node.connected(3);
  node.subscribed(7);
  node.message(STATE, state(true, 1), 8);
  assert.is(node.phase, 'born');
  assert.equal(node.waited(9), [], 'found in time');
});

test('with one server a primary host is waited for', () => {
  const node = new EdgeNode({ ...OPTIONS, primaryHost: 'scada' });
  node.connected(0);
  assert.equal(node.subscribed(2), []);
  assert.equal(node.message(STATE, state(false, 5), 3), []);
  assert.is(node.waitsFor, 'the primary host "scada" is offline here');
});

test('what happened while the broker was away comes later, in order, as history', () => {
  const [node, host] = [new EdgeNode(OPTIONS), new StrictHost()];
  node.update(SOLO, 1);
  for (let i = 0; i < 7; i++) node.note({ wallMs: 1000 + i, text: `event ${i}` }, 1);
  born(node, host);
  assert.is(node.notesLost, 2);
  assert.equal(
    host.history.map(({ value, timestampMs }) => [value, timestampMs]),
    [2, 3, 4, 5, 6].map((i) => [`event ${i}`, 1000 + i]),
  );
  host.take(node.note({ wallMs: 2000, text: 'now' }, 2000));
  assert.is(host.nodeMetrics.get('Events/Last'), 'now');
});

test('the last event of before is no news at the next birth', () => {
  const [node, host] = [new EdgeNode(OPTIONS), new StrictHost()];
  born(node, host);
  host.take(node.note({ wallMs: 2_000, text: 'took over' }, 2_001));
  node.disconnected();
  host.lost();
  host.connect(node.will(1, 9_000));
  host.take(node.connected(1));
  const actions = node.subscribed(9_001);
  const birth = actions.find((action) => action.do === 'publish');
  const metrics = decodePayload(birth?.payload ?? Buffer.alloc(0))?.metrics ?? [];
  const last = metrics.find(({ name }) => name === 'Events/Last');
  assert.equal([last?.value, last?.timestampMs], ['took over', 2_000]);
});

test('an ordered end says its death first', () => {
  const [node, host] = [new EdgeNode(OPTIONS), new StrictHost()];
  born(node, host, 4);
  host.take(node.leave(5, 'stops'));
  assert.is(host.kinds.at(-1), 'NDEATH');
  assert.not.ok(host.isOnline);
});

test('any history of connections, commands and states keeps the rules', () => {
  const random = seededRandom();
  const [node, host] = [new EdgeNode({ ...OPTIONS, backlogMax: 300 }), new StrictHost()];
  let bdSeq = 250;
  for (let i = 0; i < 5000; i++) {
    const roll = random.int(10);
    if (roll < 5) host.take(node.update(random.chance(0.5) ? SOLO : BACKUP, i));
    else if (roll < 7) host.take(node.note({ wallMs: i, text: String(i) }, i));
    else if (roll === 7) host.take(node.message(NCMD, command(true), i));
    else if (node.phase === 'away') born(node, host, bdSeq++ % 256);
    else if (random.chance(0.3)) {
      node.disconnected();
      host.lost();
    }
  }
  assert.ok(host.kinds.length > 2000);
  assert.equal(decodePayload(encodePayload({ timestampMs: 5, seq: 3, metrics: [] })), {
    ...{ timestampMs: 5, seq: 3, metrics: [] },
  });
});

test.run();

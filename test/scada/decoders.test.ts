// What others read in what we send: every metric of every payload a board can make, held against the value
// it was made from. A type that two decoders read differently is a value that half the plants do not see.
import type { Status } from '../../firmware/board/status.ts';
import { type EdgeAction, EdgeNode, type Snapshot } from '../../firmware/scada/edge-node.ts';
import { encodePayload, type Metric } from '../../firmware/scada/payload.ts';
import { snapshotOf, unreachable } from '../../firmware/scada/snapshot.ts';
import { ROLES } from '../../watchdog/arbiter-types.ts';
import { healthyStatus } from '../board/alarms/statuses.ts';
import { assert, needs, suite } from '../harness/index.ts';
import { byProtoc, byTahu, type Decoded, type Value } from './decoders.ts';

const test = suite('scada/decoders');
test.needs(needs.command('protoc', 'protobuf-compiler'));

/** Numbers that are at the edge of something. */
const NUMBERS = [0, 1, 127, 128, 0x7fff_fffe, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 5e12];

function statuses(): Status[] {
  const healthy = healthyStatus();
  const roles = ROLES.map((role, n) => ({
    ...healthy,
    ...{ role, generation: NUMBERS[n % NUMBERS.length]!, why: `grün "${role}"\n\\ ${n}` },
    ...{ lagMs: n === 3 ? null : (NUMBERS[(n + 4) % NUMBERS.length] as number) },
    board: { ...healthy.board, boot: NUMBERS[(n + 1) % NUMBERS.length]! },
    guest: { ...healthy.guest, lives: NUMBERS[(n + 2) % NUMBERS.length]! },
    ...(n % 3 === 0 ? { lastTakeover: null, peer: null } : {}),
  }));
  return [healthy, ...roles];
}

/** Every payload a history makes, with the values it was made of. */
function* payloads(): Generator<{ kind: string; payload: Buffer; made: Map<string, Value> }> {
  const node = new EdgeNode({
    ...{ group: 'plant', node: 'a', device: 'guest', primaryHost: undefined },
    ...{ hasMoreServers: false, backlogMax: 5 },
  });
  const made = new Map<string, Value>([['Node Control/Rebirth', false]]);
  const each = function* (actions: readonly EdgeAction[]) {
    for (const action of actions)
      if (action.do === 'publish')
        yield { kind: action.topic.split('/')[2] as string, payload: action.payload, made };
  };
  const becomes = (snapshot: Snapshot) => {
    for (const { name, value } of [...snapshot.node, ...(snapshot.device ?? [])])
      made.set(name, value);
    return node.update(snapshot, 1_700_000_000_000);
  };
  const [first, ...rest] = statuses().map((status) => snapshotOf(status, { wallMs: 1.7e12 }));
  made.set('Events/Last', 'before the birth');
  node.note({ wallMs: 1.6e12, text: 'before the birth' }, 1.6e12);
  becomes(first as Snapshot);
  made.set('bdSeq', 255n);
  yield { kind: 'will', payload: node.will(255, 1.7e12).payload, made };
  yield* each(node.connected(255));
  yield* each(node.subscribed(1.7e12));
  for (const snapshot of rest) yield* each(becomes(snapshot));
  made.set('Events/Last', '{"code":"ROLE-SOLO"}');
  yield* each(node.note({ wallMs: 1.7e12, text: '{"code":"ROLE-SOLO"}' }, 1.7e12));
  yield* each(becomes(unreachable(rest.at(-1), 'it hangs')));
  yield* each(node.leave(1.7e12, 'ends'));
}

test('every metric of every payload is read alike by two other decoders', () => {
  const kinds = new Set<string>();
  const seen = new Map<string, Set<string>>();
  for (const { kind, payload, made } of payloads()) {
    kinds.add(kind);
    const read: [string, Decoded][] = [
      ['Tahu', byTahu(payload)],
      ['protoc', byProtoc(payload)],
    ];
    assert.equal(read[0]?.[1], read[1]?.[1], `${kind}: both read the same`);
    for (const [who, { metrics }] of read)
      for (const { name, value } of metrics) {
        assert.ok(made.has(name), `${kind}: ${name}`);
        assert.is(value, made.get(name), `${who} reads ${name} of ${kind}`);
        seen.set(name, (seen.get(name) ?? new Set()).add(String(value)));
      }
  }
  assert.equal([...kinds].sort(), [
    ...['DBIRTH', 'DDATA', 'DDEATH', 'NBIRTH', 'NDATA', 'NDEATH', 'will'],
  ]);
  assert.ok((seen.get('Board/Starts')?.size ?? 0) > 5, 'counts were counted');
});

test('each type of ours, at its edges', () => {
  const cases: [Metric['type'], Value][] = [
    ...[0, 1, -1, 5, -5, 0x7fff_ffff, -0x8000_0000].map(
      (n) => ['int32', n] as [Metric['type'], Value],
    ),
    ...[0n, -1n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)].map(
      (n) => ['int64', n] as [Metric['type'], Value],
    ),
    ...([1.5, -0.1, 1e300] as const).map((n) => ['double', n] as [Metric['type'], Value]),
    ['dateTime', 1_700_000_000_123n],
    ['boolean', true],
    ['boolean', false],
    ['string', ''],
    ['string', 'grün "x" \\ \t\n'],
    ['string', null],
    ['int32', null],
    ['dateTime', null],
  ];
  const metrics = cases.map(([type, value], n) => ({
    ...{ name: `m${n}`, type, value, timestampMs: 1_700_000_000_000 + n },
    ...(n % 2 === 0 ? { isHistorical: true } : {}),
  }));
  const payload = encodePayload({ timestampMs: 1_700_000_000_999, seq: 255, metrics });
  for (const decoded of [byTahu(payload), byProtoc(payload)]) {
    assert.equal([decoded.timestampMs, decoded.seq], [1_700_000_000_999, 255]);
    assert.equal(
      decoded.metrics,
      metrics.map(({ name, value, timestampMs, isHistorical = false }) => ({
        ...{ name, timestampMs, isHistorical, value },
      })),
    );
  }
});

test.run();

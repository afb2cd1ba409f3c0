// What a following vCPU decides: how far it may run, when it waits and for whom, what ends its trust in the log,
// and what is left to tell the guest when it goes live.
import type { Input, Output } from '../../../firmware/devices/contracts.ts';
import { Follow, type FollowNext } from '../../../firmware/host/vcpu/follow.ts';
import { Lead } from '../../../firmware/host/vcpu/lead.ts';
import type { Entry, EntryBody } from '../../../firmware/lockstep/entry.ts';
import { type Birth, ItemWriter } from '../../../firmware/lockstep/item-stream.ts';
import { type ExternalOutput, OutputCounter } from '../../../firmware/lockstep/outputs.ts';
import type { GuestDevices } from '../../../firmware/machine/plug.ts';
import { assert, suite } from '../../harness/index.ts';
import { birthOf, DIGEST, FakeLife, FakeSink, netTx, readRequest } from './fake-life.ts';

const test = suite('host/vcpu/follow');

const DEVICES: GuestDevices = {
  nics: [{ mac: Uint8Array.of(2, 0, 0, 0, 0, 1) }],
  disks: [{ sectors: 8, isReadOnly: false, serial: 'x' }],
  hasConsole: false,
};

const WAITS = {
  log: { kind: 'wait', for: 'log' },
  disk: { kind: 'wait', for: 'disk' },
} as const;
const RUNS = { kind: 'run' } as const;

const frame = (byte: number): EntryBody => ({ kind: 'net-rx', nic: 0, frame: Uint8Array.of(byte) });
const at = (position: bigint, body: EntryBody): Entry => ({ position, body });
const clock = (position: bigint, ns: bigint): Entry =>
  at(position, { kind: 'clock-step', ns, multiplier: 10n << 32n });
const end = (position: bigint): Entry => at(position, { kind: 'end' });

/** The marker a leader writes after these. */
function marker(position: bigint, made: readonly Output[], before = new OutputCounter()): Entry {
  for (const output of made) before.add(output as ExternalOutput);
  const { sequence, hash } = before;
  before.mark();
  return at(position, { kind: 'output', sequence, hash });
}

type Given = Entry | Birth | { readonly line: bigint };

/** One piece of a stream. */
function piece(writer: ItemWriter, ...items: readonly Given[]): Uint8Array {
  for (const item of items) {
    if ('body' in item) writer.append(item);
    else if ('line' in item) writer.line(item.line);
    else writer.life(item);
  }
  const pieces = writer.take();
  assert.is(pieces.length, 1);
  return pieces[0]!;
}

function setUp(life = new FakeLife()) {
  const { machine, outbox } = life;
  const follow = new Follow({ life: life.asLife, devices: DEVICES, outputs: new OutputCounter() });
  const writer = new ItemWriter();
  const give = (...items: readonly Given[]) => follow.push(piece(writer, ...items));
  const steps = (count: number): FollowNext[] => Array.from({ length: count }, () => follow.step());
  return { life, machine, outbox, follow, writer, give, steps };
}

function differenceOf(next: FollowNext) {
  if (next.kind !== 'diverged') throw new Error(`it goes on: ${next.kind}`);
  return next.divergence;
}

const completion = (id: number, byte: number): Extract<Input, { kind: 'disk-completion' }> => ({
  kind: 'disk-completion',
  ...{ disk: 0, id, status: 'ok', data: new Uint8Array(512).fill(byte) },
});

/** As a leader's log has it, with the data left at home. */
function completed(position: bigint, id: number, byte: number): Entry {
  const sink = new FakeSink();
  const life = new FakeLife();
  life.machine.position = position;
  const parts = { life: life.asLife, sink, digestIntervalNs: undefined, offsetNs: undefined };
  const lead = new Lead({ ...parts, outputs: new OutputCounter(), realNs: () => 0n });
  lead.push(completion(id, byte));
  lead.step();
  return sink.log[0]!;
}

test('it runs to each entry, applies it there, and never beyond what it was given', () => {
  const { machine, follow, give, steps } = setUp();
  assert.equal(follow.step(), WAITS.log);
  give(at(100n, frame(1)), at(100n, frame(2)), at(250n, frame(3)));
  assert.equal(steps(2), [RUNS, RUNS]);
  assert.is(machine.position, 100n);
  assert.is(machine.inputs.length, 2);
  assert.equal(steps(3), [RUNS, WAITS.log, WAITS.log]);
  assert.is(machine.position, 250n);
  assert.equal(machine.slices, [100n, 150n]);
  assert.is(follow.entries, 3);
  assert.is(follow.backlog, 0);
});

test('a piece is behind it when its last item is, an empty one at once', () => {
  const { follow, give } = setUp();
  give(at(10n, frame(1)), at(20n, frame(2)));
  follow.push(new Uint8Array(0));
  give(at(30n, frame(3)));
  const seen: number[] = [];
  for (let n = 0; n < 4; n++) {
    seen.push(follow.pieces);
    follow.step();
  }
  assert.equal(seen, [0, 0, 2, 3]);
  assert.is(follow.pieces, 3);
});

test('kicked on the way it goes on to the same entry', () => {
  const { machine, give, steps } = setUp();
  machine.script.push({ end: 'kick', instructions: 40n }, { end: 'kick', instructions: 0n });
  give(at(100n, frame(1)));
  assert.equal(steps(4), [RUNS, RUNS, RUNS, WAITS.log]);
  assert.equal(machine.slices, [40n, 0n, 60n]);
  assert.is(machine.inputs.length, 1);
});

test('bytes that are no log end it, whatever comes after', () => {
  const { machine, follow, writer, give } = setUp();
  const whole = piece(writer, at(100n, frame(1)));
  follow.push(whole.subarray(0, whole.length - 1));
  const { what, actual } = differenceOf(follow.step());
  assert.is(what, 'log');
  assert.match(actual, /cannot be read \(cut\)/);
  give(at(200n, frame(2)));
  assert.is(follow.step().kind, 'diverged');
  assert.is(machine.slices.length, 0);
  assert.is(machine.inputs.length, 0);
});

test('an entry behind the machine is a difference, and so is one that nobody comes to', () => {
  const behind = setUp();
  behind.give(at(100n, frame(1)));
  behind.steps(2);
  behind.follow.beginStream();
  behind.follow.push(piece(new ItemWriter(), at(60n, frame(2))));
  const late = differenceOf(behind.follow.step());
  assert.is(late.what, 'position');
  assert.is(late.expected, '60');
  assert.match(late.actual, /^100 /);

  const far = setUp();
  far.give(at((1n << 30n) + 1n, frame(1)));
  assert.is(differenceOf(far.follow.step()).what, 'log');
  assert.is(far.machine.slices.length, 0, 'it does not even set out');
  const near = setUp();
  near.give(at(1n << 30n, frame(1)));
  assert.equal(near.follow.step(), RUNS);
});

test('a machine that stops before the entry is a difference', () => {
  const { machine, follow, give } = setUp();
  machine.script.push({ end: 'stopped', instructions: 30n });
  give(at(100n, frame(1)));
  const { what, actual } = differenceOf(follow.step());
  assert.is(what, 'position');
  assert.is(actual, '30 (off)');
});

test('a new stream is read from its beginning, and goes on where the machine stands', () => {
  const { machine, follow, give, steps } = setUp();
  give(clock(100n, 5_000n), at(100n, frame(1)));
  steps(3);
  follow.beginStream();
  follow.push(piece(new ItemWriter(), at(100n, frame(2)), at(130n, frame(3))));
  assert.equal(steps(3), [RUNS, RUNS, WAITS.log]);
  assert.is(machine.position, 130n);
  assert.is(follow.pieces, 2);
});

test('outputs are numbered, and held against their marker', () => {
  const { machine, outbox, give, steps } = setUp();
  machine.script.push({ end: 'limit', makes: [netTx(1), netTx(2)] });
  give(marker(50n, [netTx(1), netTx(2)]));
  assert.equal(steps(2), [RUNS, WAITS.log]);
  assert.equal(
    outbox.take().outputs.map(({ sequence }) => sequence),
    [1n, 2n],
  );
  for (const [made, said] of [
    [[netTx(1)], [netTx(2)]],
    [[netTx(1), netTx(1)], [netTx(1)]],
    [[], [netTx(1)]],
  ]) {
    const other = setUp();
    other.machine.script.push({ end: 'limit', makes: made! });
    other.give(marker(50n, said!));
    assert.is(differenceOf(other.follow.step()).what, 'output');
  }
});

test('text is cut where the marker of the leader stood, so that both boards hold the same pieces', () => {
  const { machine, outbox, give, steps } = setUp();
  const text = (byte: number): Output => ({ kind: 'serial-tx', port: 'com1', byte });
  machine.script.push({ end: 'limit', makes: [text(65), text(66)] });
  machine.script.push({ end: 'limit', makes: [text(67)] });
  const counter = new OutputCounter();
  give(marker(50n, [text(65), text(66)], counter), marker(60n, [text(67)], counter));
  steps(3);
  assert.equal(
    outbox.take().outputs.map(({ sequence }) => sequence),
    [2n, 3n],
  );
});

test('a digest that differs names the last one in which both agreed', () => {
  const { give, steps, follow } = setUp();
  give(
    at(10n, { kind: 'digest', ...DIGEST }),
    at(20n, { kind: 'digest', ...DIGEST, memory: 9n }),
    at(30n, frame(1)),
  );
  assert.equal(follow.step(), RUNS);
  const { what, entryIndex, agreed } = differenceOf(follow.step());
  assert.is(what, 'memory');
  assert.is(entryIndex, 1);
  assert.equal(agreed, { entryIndex: 0, position: 10n });
  assert.is(steps(2)[1]!.kind, 'diverged');
  assert.is(follow.entries, 1);
});

test('a completion waits for the local disk, and takes its data', () => {
  const { machine, follow, outbox, give, steps } = setUp();
  machine.script.push({ end: 'limit', makes: [readRequest(3)] });
  give(at(10n, frame(1)), completed(40n, 3, 0xaa), at(50n, frame(2)));
  assert.equal(steps(3), [RUNS, WAITS.disk, WAITS.disk]);
  assert.is(machine.position, 40n);
  assert.is(outbox.take().requests[0]?.id, 3);
  follow.completed(completion(3, 0xaa));
  assert.equal(steps(3), [RUNS, RUNS, WAITS.log]);
  assert.equal(machine.kinds(), ['net-rx', 'disk-completion', 'net-rx']);
  assert.equal(machine.inputs[1], completion(3, 0xaa));
  assert.equal(follow.takeCompletions(), [], 'the guest has heard of it');
});

test('a local disk that fails, has other data, or was never asked is a difference', () => {
  const cases: readonly (readonly [Input, RegExp])[] = [
    [{ ...completion(3, 0), status: 'io-error', data: undefined }, /ended with io-error here/],
    [completion(3, 0xbb), /differs/],
    [completion(4, 0xaa), /request 3 of disk 0 is not under way/],
  ];
  for (const [given, why] of cases) {
    const { id } = given as { id: number };
    const { follow, give } = setUp(new FakeLife({ pending: [readRequest(id)] }));
    follow.completed(given as Extract<Input, { kind: 'disk-completion' }>);
    give(completed(40n, 3, 0xaa));
    const { what, actual } = differenceOf(follow.step());
    assert.is(what, 'replica');
    assert.match(actual, why);
  }
});

test('what the local disk finished and the log never brought is left for going live, in order', () => {
  const pending = [readRequest(1), readRequest(2), readRequest(5)];
  const { machine, follow, give, steps } = setUp(new FakeLife({ pending }));
  follow.completed(completion(5, 5));
  follow.completed(completion(1, 1));
  follow.completed(completion(2, 2));
  give(completed(40n, 1, 1));
  steps(2);
  assert.is(machine.inputs.length, 1);
  assert.equal(follow.takeCompletions(), [completion(5, 5), completion(2, 2)]);
  assert.equal(follow.takeCompletions(), []);
});

test('a life: only after the machine has stopped, and the one that comes next', () => {
  const running = setUp();
  running.give(at(10n, frame(1)), birthOf(2));
  running.follow.step();
  assert.match(differenceOf(running.follow.step()).actual, /runs at 10/);

  const skipped = setUp();
  skipped.machine.stopReason = { kind: 'reset' };
  skipped.give(birthOf(3));
  const { expected, actual } = differenceOf(skipped.follow.step());
  assert.is(expected, 'life 2 of the guest');
  assert.is(actual, 'life 3');
});

test('a new life goes on in the same log: counts go on, requests and clock of the old one are gone', () => {
  const { machine, follow, give, steps } = setUp(new FakeLife({ pending: [readRequest(1)] }));
  machine.script.push({ end: 'limit' }, { end: 'stopped', instructions: 10n });
  give({ line: -5n }, clock(10n, 4_000_000_000n), at(20n, frame(1)), birthOf(2), at(7n, frame(2)));
  assert.equal(steps(4), [RUNS, RUNS, RUNS, { kind: 'restart', birth: birthOf(2) }]);
  assert.equal(follow.line, { offsetNs: -5n, by: 'leader' });
  assert.is(follow.pieces, 0);
  follow.completed(completion(1, 1));
  const next = new FakeLife({ number: 2 });
  follow.attach(next.asLife);
  assert.equal(follow.takeCompletions(), []);
  assert.is(follow.line, undefined, 'the clock of the new life has a line of its own');
  assert.equal(steps(2), [RUNS, WAITS.log]);
  assert.is(next.machine.position, 7n);
  assert.equal(next.machine.kinds(), ['net-rx']);
  assert.is(machine.inputs.length, 2, 'nothing more for the one before');
  assert.is(follow.entries, 3);
  assert.is(follow.pieces, 1);
});

test('the log ends in order: with the guest, or it is a difference', () => {
  const ended = setUp();
  ended.machine.script.push({ end: 'stopped', instructions: 20n });
  ended.give(at(20n, { kind: 'digest', ...DIGEST }), end(20n));
  assert.equal(ended.steps(2), [RUNS, { kind: 'stopped', reason: { kind: 'off' } }]);

  const alive = setUp();
  alive.give(end(20n));
  const { expected, actual } = differenceOf(alive.follow.step());
  assert.is(expected, 'a machine that has stopped');
  assert.is(actual, 'the end of the log');
});

test('the line of the clock comes with the log, in its order, and is no entry', () => {
  const { follow, give, steps } = setUp();
  give({ line: 4_000n }, clock(10n, 1_000n), { line: 5_000n });
  assert.is(follow.line, undefined, 'not before the guest stands there');
  assert.equal(steps(2), [RUNS, RUNS]);
  assert.equal(follow.line, { offsetNs: 4_000n, by: 'leader' });
  assert.equal(steps(2), [RUNS, WAITS.log]);
  assert.equal(follow.line, { offsetNs: 5_000n, by: 'leader' });
  assert.is(follow.entries, 1);
  assert.is(follow.pieces, 1);
});

test('serial bytes that wait for going live are counted by their port', () => {
  const { follow } = setUp();
  const serial = (port: 'com1' | 'com2', bytes: number): Input => ({
    ...{ kind: 'serial-rx', port, bytes: new Uint8Array(bytes) },
  });
  follow.early.push(serial('com1', 3), serial('com2', 5), serial('com1', 4));
  follow.early.push({ kind: 'net-rx', nic: 0, frame: new Uint8Array(60) });
  assert.is(follow.heldBytes('com1'), 7);
  assert.is(follow.heldBytes('com2'), 5);
  assert.is(follow.heldBytes('console'), 0);
});

test('promoted, it leads on with the numbers of the outputs it followed', () => {
  const { life, machine, follow, give, steps } = setUp();
  machine.script.push(
    { end: 'limit', makes: [netTx(1), netTx(2)] },
    { end: 'limit', makes: [netTx(3)] },
  );
  give(marker(50n, [netTx(1), netTx(2)]), at(80n, frame(1)));
  assert.equal(steps(3), [RUNS, RUNS, WAITS.log]);
  const sink = new FakeSink();
  const parts = { life: life.asLife, sink, digestIntervalNs: undefined, offsetNs: undefined };
  const lead = new Lead({ ...parts, outputs: follow.outputs, realNs: () => machine.realNs });
  machine.script.push({ end: 'kick', instructions: 10n, makes: [netTx(4)] });
  lead.step();
  const [body] = sink.log.map((entry) => entry.body);
  const after = new OutputCounter();
  after.sequence = 2n;
  const expected = marker(90n, [netTx(3), netTx(4)], after).body;
  assert.equal(body, expected, 'output 3 had no marker yet: the next one covers it too');
});

test.run();

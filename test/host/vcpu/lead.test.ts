// What a leading vCPU decides: what goes into the log and when, when it stands still, what it says last.
import type { Input, Output } from '../../../firmware/devices/contracts.ts';
import { createEngine } from '../../../firmware/host/engines.ts';
import { Lead } from '../../../firmware/host/vcpu/lead.ts';
import { type Item, ItemReader } from '../../../firmware/lockstep/item-stream.ts';
import { OutputCounter } from '../../../firmware/lockstep/outputs.ts';
import { ExitReason } from '../../../firmware/machine/engine.ts';
import { GuestMemory } from '../../../native/index.ts';
import { assert, suite } from '../../harness/index.ts';
import { FakeLife, FakeSink, netTx, readRequest } from './fake-life.ts';

const test = suite('host/vcpu/lead');
const MS = 1_000_000n;

const frame = (byte: number): Input => ({ kind: 'net-rx', nic: 0, frame: Uint8Array.of(byte) });
const text = (byte: number): Output => ({ kind: 'serial-tx', port: 'com1', byte });

interface Options {
  readonly life?: FakeLife;
  readonly outputs?: OutputCounter;
  readonly offsetNs?: bigint;
  readonly digestIntervalNs?: bigint;
  readonly isKept?: boolean;
}

function setUp(options: Options = {}) {
  const { life = new FakeLife(), isKept = true } = options;
  const { machine, outbox } = life;
  const sink = new FakeSink();
  const lead = new Lead({
    life: life.asLife,
    sink: isKept ? sink : undefined,
    digestIntervalNs: options.digestIntervalNs,
    outputs: options.outputs ?? new OutputCounter(),
    offsetNs: options.offsetNs,
    realNs: () => machine.realNs,
  });
  return { life, machine, outbox, sink, lead };
}

function itemsOf(lead: Lead): Item[] {
  const pieces = lead.sink!.take({ isCovering: false, isLast: true });
  const reader = new ItemReader();
  return pieces.flatMap((piece) => reader.push(piece));
}

const wordsOf = (items: readonly Item[]): string[] =>
  items.map((item) =>
    item.kind === 'life'
      ? `life ${item.birth.number}`
      : item.kind === 'line'
        ? `line ${item.offsetNs}`
        : `${item.entry.body.kind}@${item.entry.position}`,
  );

test('an input is in the log where it goes in, an output has its marker where its slice ends', () => {
  const { machine, outbox, sink, lead } = setUp();
  machine.script.push(
    { end: 'kick', instructions: 500n },
    { end: 'kick', instructions: 70n, makes: [netTx(1), netTx(2)] },
  );
  lead.step();
  lead.push(frame(9));
  assert.equal(sink.words(), [], "pushed, and not the guest's before the next step");
  lead.step();
  assert.equal(sink.words(), ['net-rx@500', 'output@570']);
  assert.equal(machine.kinds(), ['net-rx']);
  assert.is(lead.entries, 2);
  const marker = sink.log[1]!.body;
  assert.ok(marker.kind === 'output' && marker.sequence === 2n, 'one for all of a slice');
  assert.equal(
    outbox.take().outputs.map(({ sequence }) => sequence),
    [1n, 2n],
  );
});

test('it ends the slice for what somebody waits for: frames and requests, not text', () => {
  const memory = new GuestMemory({ bytes: 4 << 20 });
  const engine = createEngine(memory, 'soft');
  const isKicked = () => engine.run(engine.position() + 1n) === ExitReason.kick;
  const made = (output: Output): boolean => {
    const { machine, lead } = setUp({ life: new FakeLife({ kickToken: engine.kickToken }) });
    machine.script.push({ end: 'limit', instructions: 10n, makes: [output] });
    lead.step();
    return isKicked();
  };
  assert.is(made(text(65)), false);
  assert.is(made(netTx(1)), true);
  assert.is(isKicked(), false);
  assert.is(made(readRequest(1)), true);
  engine.close();
  memory.close();
});

test('a guest whose log nobody keeps speaks and costs no digest', () => {
  const { life, machine, outbox, lead } = setUp({ isKept: false, digestIntervalNs: MS });
  machine.script.push({ end: 'limit', instructions: 100n, makes: [netTx(1), readRequest(3)] });
  lead.push(frame(1));
  for (let n = 0; n < 8; n++) lead.step();
  lead.pause();
  lead.end();
  assert.is(lead.entries, 0);
  assert.is(life.digests, 0);
  assert.ok(machine.kinds().includes('net-rx'));
  const { outputs, requests } = outbox.take();
  assert.is(outputs[0]?.sequence, 1n);
  assert.is(requests[0]?.id, 3);
});

test('digests come by virtual time while the log is kept', () => {
  const { sink, lead } = setUp({ digestIntervalNs: 3n * MS });
  for (let n = 0; n < 20; n++) lead.step();
  const digests = sink.log.filter(({ body }) => body.kind === 'digest');
  assert.ok(digests.length > 5, `${digests.length}`);
});

test('a log that begins while the guest runs begins with the line of its clock and a digest, where it stands', () => {
  const { machine, sink, lead } = setUp();
  machine.script.push({ end: 'kick', instructions: 500n });
  lead.step();
  lead.startLog();
  assert.equal(sink.words(), [], 'the log before it gets nothing more');
  machine.script.push({ end: 'kick', instructions: 20n, makes: [netTx(4)] });
  lead.step();
  assert.equal(wordsOf(itemsOf(lead)), ['line 1000000000', 'digest@500', 'output@520']);
});

test('gone live: numbers go on, and what no marker of the old log covers gets one first', () => {
  const outputs = new OutputCounter();
  for (let n = 1; n <= 5; n++) outputs.add(netTx(n) as Extract<Output, { kind: 'net-tx' }>);
  outputs.mark();
  outputs.add({ kind: 'power', event: 'off' });
  const life = new FakeLife();
  life.machine.position = 900n;
  const { machine, outbox, lead } = setUp({ life, outputs, isKept: false });
  lead.startLog();
  machine.script.push({ end: 'kick', instructions: 5n, makes: [netTx(7)] });
  lead.step();
  const items = itemsOf(lead);
  assert.equal(wordsOf(items), ['line 999991000', 'digest@900', 'output@900', 'output@905']);
  const covered = items.map((item) =>
    item.kind === 'entry' && item.entry.body.kind === 'output' ? item.entry.body.sequence : null,
  );
  assert.equal(covered, [null, null, 6n, 7n]);
  assert.is(outbox.take().outputs[0]?.sequence, 7n);
});

test('paused: what came is in, a digest says where it stands, and nothing moves until it goes on', () => {
  const { machine, sink, lead } = setUp();
  machine.script.push({ end: 'kick', instructions: 500n });
  lead.step();
  lead.push(frame(1));
  lead.pause();
  assert.equal(sink.words(), ['net-rx@500', 'digest@500']);
  lead.pause();
  lead.push(frame(2));
  const slices = machine.slices.length;
  assert.equal(lead.step(), { kind: 'sleep', untilRealNs: undefined });
  assert.is(lead.doing, 'paused');
  assert.is(machine.slices.length, slices);
  assert.equal(sink.words(), ['net-rx@500', 'digest@500']);
  lead.isPaused = false;
  assert.equal(lead.step(), { kind: 'run' });
  assert.is(lead.doing, 'runs');
  assert.equal(sink.words(), ['net-rx@500', 'digest@500', 'net-rx@500']);
});

test('what was pushed and never given is taken back in order, and is in no log', () => {
  const { sink, lead } = setUp();
  lead.pause();
  lead.push(frame(1));
  lead.push({ kind: 'serial-rx', port: 'com2', bytes: Uint8Array.of(1, 2, 3) });
  lead.push(frame(2));
  assert.is(lead.heldBytes('com2'), 3);
  assert.is(lead.heldBytes('com1'), 0);
  assert.equal(
    lead.takeQueued().map((input) => (input.kind === 'net-rx' ? input.frame[0] : input.kind)),
    [1, 2, 'serial-rx'],
  );
  assert.equal(lead.takeQueued(), []);
  lead.isPaused = false;
  lead.step();
  assert.equal(sink.words(), ['digest@0']);
});

test('a share of the time it stands still, until it is told otherwise', () => {
  const { machine, lead } = setUp();
  machine.script.push(
    { end: 'kick', instructions: 100_000n },
    { end: 'kick', instructions: 100_000n },
  );
  lead.throttle(0.75);
  assert.equal(lead.step(), { kind: 'run' });
  const rest = machine.realNs + 3n * 100_000n * machine.costNs;
  assert.equal(lead.step(), { kind: 'sleep', untilRealNs: rest });
  assert.is(machine.slices.length, 1);
  machine.realNs = rest;
  assert.equal(lead.step(), { kind: 'run' });
  assert.is(machine.slices.length, 2);
  assert.is(lead.step().kind, 'sleep');
  lead.throttle(0);
  assert.equal(lead.step(), { kind: 'run' });
  assert.equal(lead.step(), { kind: 'run' });
});

test('a throttled guest runs in shorter slices', () => {
  const lengthOf = (share: number): bigint => {
    const { machine, lead } = setUp();
    lead.throttle(share);
    for (let n = 0; n < 60; n++) {
      const next = lead.step();
      if (next.kind === 'sleep') machine.realNs = next.untilRealNs!;
    }
    return machine.slices.at(-1)!;
  };
  assert.ok(lengthOf(0.75) * 3n < lengthOf(0), `${lengthOf(0.75)} of ${lengthOf(0)}`);
});

test('an idle guest is said to idle', () => {
  const { machine, lead } = setUp();
  machine.script.push({ end: 'idle', instructions: 10n });
  lead.step();
  assert.is(lead.doing, 'runs');
  assert.is(lead.step().kind, 'sleep');
  assert.is(lead.doing, 'idles');
});

test('the guest ends: the last words of its log are a digest and the end', () => {
  const { machine, sink, lead } = setUp();
  machine.script.push({
    end: 'stopped',
    instructions: 40n,
    makes: [{ kind: 'power', event: 'off' }],
  });
  assert.equal(lead.step(), { kind: 'stopped', reason: { kind: 'off' } });
  assert.equal(lead.stopReason, { kind: 'off' });
  lead.end();
  assert.equal(sink.words(), ['output@40', 'digest@40', 'end@40']);
});

test('real and virtual time stay as far apart as told, else as they are at the start', () => {
  const { machine, lead } = setUp();
  assert.is(lead.offsetNs, machine.realNs);
  const offsetNs = machine.realNs - 40n * MS;
  const late = setUp({ offsetNs });
  assert.equal(late.lead.clockErrorNs, { now: -40n * MS, worst: -40n * MS });
  const startNs = late.machine.realNs;
  while (late.machine.realNs - startNs < 200n * MS) late.lead.step();
  const { now, worst } = late.lead.clockErrorNs;
  assert.ok(now > -2n * MS && now < 2n * MS, `a guest that is behind catches up: ${now}`);
  assert.is(worst, -40n * MS);
  const [step] = late.machine.inputs;
  assert.ok(step?.kind === 'clock-step' && step.ns < 20n * MS, 'and does not jump');
  assert.is(late.lead.offsetNs, offsetNs);
});

test.run();

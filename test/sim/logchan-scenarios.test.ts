// Bugs the random schedules found, each told as a story, and the stories every channel must survive.
import { NO_FAULTS } from '../../logchan/faulty-line.ts';
import { IN_FLIGHT_FRAMES_MAX, KEEPALIVE_US, LOG_ACK_US, SILENT_US } from '../../logchan/limits.ts';
import { LANE } from '../../logchan/sections.ts';
import type { Haste } from '../../logchan/sender.ts';
import { assert, suite } from '../harness/index.ts';
import { metWorld, ROOMY, settle, takeAll } from './logchan-stories.ts';
import { SIDES, type World } from './logchan-world.ts';

const test = suite('sim/logchan-scenarios');

const events = (world: World, type: string) =>
  world.events.filter(({ event }) => event.type === type);

test('found: the path becomes narrower while small frames still pass', () => {
  // Acks came, so no time-out did; every large frame was lost, found lost, and sent again as large.
  const world = metWorld('narrower');
  assert.is(world.ends[0].session?.paths.active.size.bytes, 9000);
  for (const side of SIDES) world.lines[side].faults = { ...NO_FAULTS, frameBytesMax: 1300 };
  for (let i = 0; i < 20; i++) world.append(0, LANE.log, 1800, 'urgent');
  settle(world, 200_000);
});

test('a path that became narrower is measured once, and that size is kept', () => {
  const world = metWorld('narrower, then still');
  for (const side of SIDES) world.lines[side].faults = { ...NO_FAULTS, frameBytesMax: 1500 };
  for (let i = 0; i < 20; i++) world.append(0, LANE.log, 1800, 'urgent');
  settle(world, 400_000);
  world.run(world.nowUs + 400_000);
  assert.is(world.ends[0].session?.paths.active.size.bytes, 1500);
  for (let i = 0; i < 100; i++) {
    world.append(0, LANE.log, 1200, 'urgent');
    world.flush(0);
    world.run(world.nowUs + 1_000);
    takeAll(world);
    assert.is(world.ends[0].session?.paths.active.size.bytes, 1500);
  }
});

test('a clean line repeats nothing, times out never, and both find its size', () => {
  const world = metWorld('clean');
  for (let i = 0; i < 400; i++) {
    world.append(0, LANE.log, 1 + (i % 900), i % 3 === 0 ? 'urgent' : 'none');
    world.append(1, LANE.bulk, 1 + (i % 1500), 'none');
    world.flush(0);
    world.run(world.nowUs + 300);
    takeAll(world);
  }
  settle(world, 100_000);
  for (const { session } of world.ends) {
    assert.is(session?.timeouts, 0);
    assert.is(session?.paths.active.size.bytes, 9000);
    for (const lane of session?.out ?? []) assert.is(lane.repeatedBytes, 0);
  }
  assert.equal(events(world, 'down'), []);
});

test('a passing message leaves at once; its acknowledgement comes with the next frame, or a little later', () => {
  const world = metWorld('passing');
  const run = (us: number) => world.run(world.nowUs + us);
  const say = (side: 0 | 1, haste: Haste) => {
    world.append(side, LANE.log, 100, haste);
    world.flush(side);
  };
  const acked = () => world.ends[0].ackedThrough;
  say(0, 'passing');
  say(1, 'passing');
  run(500);
  assert.is(world.ends[1].messagesReceived, 1);
  say(1, 'passing');
  run(500);
  assert.is(acked(), 1, 'with a frame that left anyway');
  say(0, 'passing');
  run(LOG_ACK_US - 1_000);
  assert.is(acked(), 1);
  run(2_500);
  assert.is(acked(), 2, 'alone');
  say(1, 'passing');
  say(0, 'passing');
  say(0, 'urgent');
  run(500);
  assert.is(acked(), 4, 'at once, for somebody waits');
  for (const { session } of world.ends) assert.is(session?.timeouts, 0);
});

test('an urgent message is acknowledged after one round trip, the others after at most a linger', () => {
  const world = metWorld('latency');
  for (let i = 0; i < 100; i++) {
    world.run(world.nowUs + 777);
    world.append(0, LANE.log, 100, 'urgent');
    world.flush(0);
    assert.is(settle(world, 1_000), 100, 'two times 50 us on the line');
  }
  world.append(0, LANE.log, 100, 'none');
  world.flush(0);
  assert.ok(settle(world, 2_000) <= 1_100);
});

test('one lost frame costs a few milliseconds, not a round of back-off', () => {
  const world = metWorld('one lost');
  const slowest = { us: 0 };
  for (let i = 0; i < 50; i++) {
    world.run(world.nowUs + 1_234);
    world.lines[0].faults = { ...NO_FAULTS, lossChance: 1 };
    world.append(0, LANE.log, 100, 'urgent');
    world.flush(0);
    world.lines[0].faults = NO_FAULTS;
    slowest.us = Math.max(slowest.us, settle(world, 50_000));
  }
  assert.ok(slowest.us < 5_000, `${slowest.us} us`);
  const repeated = world.ends[0].session?.out[LANE.log].repeatedBytes ?? 0;
  assert.ok(repeated >= 50 * 101 && repeated <= 100 * 101, `${repeated} bytes counted as repeated`);
});

test('bulk data at full speed delays messages by no more than its queue', () => {
  const world = metWorld('bulk');
  const gigabit = { ...NO_FAULTS, delayUs: 20, bytesPerUs: 125, queueBytesMax: 10 << 20 };
  for (const side of SIDES) world.lines[side].faults = gigabit;
  const latencies: number[] = [];
  const startUs = world.nowUs;
  let bulkEntries = 0;
  while (world.nowUs < startUs + 400_000) {
    while (world.append(0, LANE.bulk, 30_000, 'none')) bulkEntries++;
    world.append(0, LANE.log, 200, 'urgent');
    world.flush(0);
    const { appended } = world.ends[0].session?.out[LANE.log] ?? { appended: 0 };
    const sentUs = world.nowUs;
    while (world.ends[0].ackedThrough < appended) {
      world.run(world.nowUs + 20);
      world.take(1, LANE.bulk, Number.POSITIVE_INFINITY);
    }
    latencies.push(world.nowUs - sentUs);
    takeAll(world);
    world.run(world.nowUs + 500);
  }
  const megabytes = (bulkEntries * 30_000) / 1e6;
  assert.ok(megabytes > 0.8 * 125 * 0.4, `the link was used: ${megabytes} MB in 0.4 s`);
  const settled = latencies.slice(latencies.length >> 1).sort((a, b) => a - b);
  const p99 = settled[Math.floor(settled.length * 0.99)] ?? 0;
  assert.ok(p99 < 1_500, `an message waited ${p99} us`);
});

test('found: a peer that stalls is sent no more frames than its ring has slots', () => {
  // Two thousand small urgent messages are a hundred kilobytes, far below any window, and two
  // thousand frames: those beyond the slots of a stalled peer were lost.
  const world = metWorld('slots');
  for (const side of SIDES) world.lines[side].faults = { ...NO_FAULTS, delayUs: 20_000 };
  for (let i = 0; i < 4000; i++) {
    world.append(0, LANE.log, 20, 'urgent');
    world.flush(0);
  }
  assert.is(world.ends[0].session?.out[LANE.log].inFlightFrames, IN_FLIGHT_FRAMES_MAX);
  settle(world, 1_000_000);
});

test('a full peer stops the sender, and taking starts it again', () => {
  const small = { bytes: 4096, messages: 64 };
  const world = metWorld('credit', { buffers: { send: [ROOMY, ROOMY], receive: [small, small] } });
  let appended = 0;
  for (; appended < 300; appended++) world.append(0, LANE.log, 50, 'urgent');
  world.flush(0);
  world.run(world.nowUs + 300_000);
  assert.is(world.ends[0].ackedThrough, 64, 'the messages the peer has room for');
  assert.is(world.ends[0].session?.timeouts, 0, 'waiting for credit is not a time-out');
  world.take(1, LANE.log, 1);
  world.run(world.nowUs + KEEPALIVE_US + 1_000);
  assert.is(world.ends[0].ackedThrough, 65, 'credit comes with the keepalive at the latest');
  settle(world, 300_000);
});

test('silence is said once, and so is its end', () => {
  const world = metWorld('silence');
  const cutUs = world.nowUs;
  world.lines[0].faults = { ...NO_FAULTS, cut: true };
  world.run(cutUs + 10 * SILENT_US);
  world.lines[0].faults = NO_FAULTS;
  world.run(world.nowUs + 2 * KEEPALIVE_US);
  const said = world.events.filter(
    ({ event }) => event.type === 'silent' || event.type === 'heard',
  );
  assert.equal(
    said.map(({ side, event }) => [side, event.type]),
    [
      [1, 'silent'],
      [1, 'heard'],
    ],
  );
  const heard = said[1]?.event;
  assert.ok(
    heard?.type === 'heard' && Math.abs(heard.silentUs - 10 * SILENT_US) < 2 * KEEPALIVE_US,
  );
  assert.equal(events(world, 'down'), []);
});

test('a pulled cable loses nothing and the session goes on', () => {
  const world = metWorld('pulled');
  for (let i = 0; i < 50; i++) {
    world.append(0, LANE.log, 500, 'urgent');
    world.flush(0);
    if (i === 20) {
      for (const side of SIDES) world.lines[side].faults = { ...NO_FAULTS, cut: true };
      world.link(0, false);
    }
    world.run(world.nowUs + 20_000);
    if (i !== 40) continue;
    for (const side of SIDES) world.lines[side].faults = NO_FAULTS;
    world.link(0, true);
    assert.ok(settle(world, 10_000) < 2_000, 'what waited goes at once');
  }
  settle(world, 100_000);
  assert.equal(events(world, 'down'), []);
  assert.is(events(world, 'link').length, 4);
});

test('a restarted peer is noticed, and what it had acknowledged is told', () => {
  const world = metWorld('restart');
  for (let i = 0; i < 10; i++) world.append(0, LANE.log, 500, 'urgent');
  settle(world, 10_000);
  world.restart(1);
  world.run(world.nowUs + 50_000);
  const downs = events(world, 'down');
  assert.is(downs.length, 1);
  const down = downs[0]?.event;
  assert.ok(down?.type === 'down' && down.why === 'peer-restarted' && down.ackedThrough === 10);
  assert.ok(world.settled);
  world.append(0, LANE.log, 5, 'urgent');
  assert.is(world.ends[0].session?.out[LANE.log].appended, 1, 'a new session counts from 1');
  settle(world, 10_000);
});

test('messages not yet taken survive the death of the peer', () => {
  // The heart of a takeover. World.takeEvents drains `down` and demands every acknowledged message.
  const world = metWorld('heritage');
  for (let i = 0; i < 100; i++) world.append(0, LANE.log, 300, 'urgent');
  world.flush(0);
  world.run(world.nowUs + 10_000);
  assert.is(world.ends[0].ackedThrough, 100);
  world.restart(0);
  world.run(world.nowUs + 50_000);
  const down = events(world, 'down').find(({ side }) => side === 1);
  assert.ok(down?.event.type === 'down');
  assert.is(world.take(1, LANE.log, 10), 0, 'nothing of the old session in the new one');
});

test('goodbye is heard at once', () => {
  const world = metWorld('goodbye');
  world.leave(0);
  world.run(world.nowUs + 60);
  const why = events(world, 'down').map(({ side, event }) => [
    side,
    event.type === 'down' && event.why,
  ]);
  assert.equal(why, [
    [0, 'closed'],
    [1, 'peer-left'],
  ]);
});

test.run();

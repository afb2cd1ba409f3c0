// The inside of a sealed frame: written like the naive encoder does, read back whole, and refused
// as a whole however it is cut or altered.
import { RANGES_MAX } from '../../logchan/limits.ts';
import {
  type Body,
  emptyAck,
  emptyBody,
  LANE,
  type Lane,
  readBody,
  writeAck,
  writeAsk,
  writeBye,
  writeDataHead,
  writeProbe,
  writeProbed,
  writeSeen,
} from '../../logchan/sections.ts';
import { assert, type SeededRandom, seededRandom, suite } from '../harness/index.ts';
import { join, type NaiveSection, naiveSection } from './naive-wire.ts';
import { vectorBytes, vectors } from './vectors.ts';

const test = suite('logchan/sections');

/** Sections as a body may hold them, in random order. */
export function randomSections(random: SeededRandom): NaiveSection[] {
  const sections: NaiveSection[] = [];
  const offset = () => Number(random.bigint(random.int(52)));
  if (random.chance(0.7)) sections.push({ seen: Number(random.bigint(48)), heldUs: random.u32() });
  for (const lane of [0, 1]) {
    if (random.chance(0.5)) sections.push(randomAck(random, lane, offset()));
    if (random.chance(0.4)) {
      sections.push({ data: random.bytes(1 + random.int(300)), lane, offset: offset() });
    }
  }
  if (random.chance(0.2)) sections.push({ ask: true });
  if (random.chance(0.1)) sections.push({ probe: 1 + random.int(0xffff) });
  if (random.chance(0.1)) sections.push({ probed: 1 + random.int(0xffff) });
  if (random.chance(0.1)) sections.push({ bye: 1 + random.int(255) });
  for (let i = sections.length - 1; i > 0; i--) {
    const j = random.int(i + 1);
    [sections[i], sections[j]] = [sections[j] as NaiveSection, sections[i] as NaiveSection];
  }
  return sections;
}

function randomAck(random: SeededRandom, lane: number, offset: number): NaiveSection {
  const ranges: [number, number][] = [];
  let at = offset;
  for (let count = random.int(4) * random.int(RANGES_MAX / 3); count > 0; count--) {
    const start = at + 1 + random.int(5000);
    at = start + 1 + random.int(5000);
    ranges.push([start, at]);
  }
  return { ack: offset, lane, bytes: random.int(2 ** 31), messages: random.u32(), ranges };
}

/** The real writers, driven by the same description. */
function write(into: Uint8Array, at: number, section: NaiveSection): number {
  if ('seen' in section) return writeSeen(into, at, section.seen, section.heldUs);
  if ('ack' in section) {
    const ack = emptyAck();
    ack.offset = section.ack;
    ack.creditBytes = section.bytes;
    ack.creditMessages = section.messages;
    ack.rangeCount = section.ranges?.length ?? 0;
    ack.ranges.set((section.ranges ?? []).flat());
    return writeAck(into, at, section.lane as Lane, ack);
  }
  if ('data' in section) {
    const { data, lane, offset } = section;
    const next = writeDataHead(into, at, lane as Lane, offset, data.length);
    into.set(data, next);
    return next + data.length;
  }
  if ('ask' in section) return writeAsk(into, at);
  if ('probe' in section) return writeProbe(into, at, section.probe);
  if ('probed' in section) return writeProbed(into, at, section.probed);
  if ('bye' in section) return writeBye(into, at, section.bye);
  return at;
}

function demand(body: Body, bytes: Uint8Array, section: NaiveSection): void {
  if ('seen' in section) {
    assert.equal([body.seenCounter, body.heldUs], [section.seen, section.heldUs]);
  } else if ('ack' in section) {
    const ack = body.acks[section.lane as Lane];
    assert.equal(
      [ack.present, ack.offset, ack.creditBytes, ack.creditMessages],
      [true, section.ack, section.bytes, section.messages],
    );
    assert.equal([...ack.ranges.subarray(0, 2 * ack.rangeCount)], (section.ranges ?? []).flat());
  } else if ('data' in section) {
    const data = body.data[section.lane as Lane];
    assert.equal([data.present, data.offset], [true, section.offset]);
    assert.equal(bytes.slice(data.start, data.end), section.data);
  } else if ('ask' in section) assert.ok(body.ask);
  else if ('probe' in section) assert.is(body.probe, section.probe);
  else if ('probed' in section) assert.is(body.probed, section.probed);
  else if ('bye' in section) assert.is(body.bye, section.bye);
}

test('bodies equal the naive ones, and come back', () => {
  const random = seededRandom('bodies');
  const body = emptyBody();
  for (let i = 0; i < 3000; i++) {
    const sections = randomSections(random);
    const naive = join(sections.flatMap(naiveSection));
    const bytes = new Uint8Array(naive.length).fill(0xa5);
    const end = sections.reduce((at, section) => write(bytes, at, section), 0);
    assert.is(end, naive.length);
    assert.equal(Buffer.from(bytes), naive);
    assert.is(readBody(bytes, end, body), undefined);
    for (const section of sections) demand(body, bytes, section);
    assert.is(
      body.acks[LANE.bulk].present,
      sections.some((s) => 'ack' in s && s.lane === 1),
    );
    assert.is(
      body.data[LANE.log].present,
      sections.some((s) => 'data' in s && s.lane === 0),
    );
    assert.is(
      body.ask,
      sections.some((s) => 'ask' in s),
    );
    assert.is(
      body.hasSeen,
      sections.some((s) => 'seen' in s),
    );
  }
});

test('a section cut short refuses the whole body, at every length', () => {
  for (const { name, level, reason } of vectors) {
    if (level !== 'body' || reason !== undefined) continue;
    const bytes = vectorBytes(name);
    for (let end = 1; end < bytes.length; end++) {
      assert.is(readBody(bytes, end, emptyBody()), 'cut', `${name} cut at ${end}`);
    }
  }
  for (const section of [
    { seen: 5, heldUs: 6 },
    { ack: 7, lane: 0, bytes: 8, messages: 9, ranges: [[10, 11]] as [number, number][] },
    { data: new Uint8Array(5), lane: 1, offset: 12 },
    { probe: 13 },
    { bye: 14 },
  ]) {
    const bytes = join(naiveSection(section));
    for (let end = 1; end < bytes.length; end++) {
      assert.is(readBody(bytes, end, emptyBody()), 'cut', JSON.stringify(section));
    }
  }
});

test('padding ends a body, whatever follows', () => {
  const bytes = join([...naiveSection({ ask: true }), ['00ffff', 'padding']]);
  const body = emptyBody();
  assert.is(readBody(bytes, bytes.length, body), undefined);
  assert.ok(body.ask);
});

test('a time held too long to say is said as the longest', () => {
  const bytes = new Uint8Array(11);
  const body = emptyBody();
  for (const [held, said] of [
    [2 ** 40, 2 ** 32 - 1],
    [-5, 0],
    [12.6, 13],
  ] as const) {
    writeSeen(bytes, 0, 1, held);
    assert.is(readBody(bytes, 11, body), undefined);
    assert.is(body.heldUs, said);
  }
});

test.run();

// Two handshakes over a line that loses, repeats, reorders, and lets an attacker repeat anything
// ever said; boards restart. Whatever happens: a nonce serves one session, a session both boards
// have confirmed ends only by a restart, and once the line is quiet both are in the same session.
import { Handshake } from '../../logchan/handshake.ts';
import { CALL_US, CONFIRM_US, CONFIRM_US_MAX, NONCE_BYTES } from '../../logchan/limits.ts';
import type { Hello } from '../../logchan/wire.ts';
import { assert, type SeededRandom, seededRandom, suite } from '../harness/index.ts';

const test = suite('logchan/handshake');
const cluster = new Uint8Array(8);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const zeros = new Uint8Array(NONCE_BYTES);

/** A sealed frame as a session and its sender, which its key proves. */
type Frame = { hello: Hello } | { sealed: string; from: 0 | 1 };

interface Faults {
  loss: number;
  duplicate: number;
  delayUsMax: number;
  /** Chance a step that the attacker repeats a recorded frame. */
  replay: number;
  restart: number;
}

/** One session as both sides name it, whoever made it first. */
function sessionName({ mine, theirs }: { mine: Uint8Array; theirs: Uint8Array }): string {
  return [hex(mine), hex(theirs)].sort().join();
}

class Side {
  handshake: Handshake;
  readonly used = new Set<string>();
  sealedUs = 0;
  private readonly random: SeededRandom;

  constructor(random: SeededRandom) {
    this.random = random;
    this.handshake = this.make(0);
  }

  make(nowUs: number): Handshake {
    const random = (count: number) => this.random.bytes(count);
    return new Handshake({ cluster, frameBytesMax: [1500], random }, nowUs);
  }

  restart(nowUs: number): void {
    this.handshake = this.make(nowUs);
  }

  get confirmed(): string | undefined {
    const { meeting } = this.handshake;
    return meeting?.confirmed ? sessionName(meeting) : undefined;
  }
}

class World {
  nowUs = 0;
  readonly sides: [Side, Side];
  private readonly random: SeededRandom;
  private readonly delayUs: number;
  private readonly line: { atUs: number; to: 0 | 1; frame: Frame }[] = [];
  private readonly recorded: { to: 0 | 1; frame: Frame }[] = [];
  /** The session both have confirmed, until a board restarts. */
  private settled: string | undefined;

  /** `delayUs`: what every frame takes at least. */
  constructor(random: SeededRandom, delayUs = 0) {
    this.random = random;
    this.delayUs = delayUs;
    this.sides = [new Side(random), new Side(random)];
  }

  step(faults: Faults): void {
    this.nowUs += 1 + this.random.int(3000);
    const { random, sides } = this;
    for (const to of [0, 1] as const) this.send(to, faults);
    if (random.chance(faults.replay) && this.recorded.length > 0) {
      const { to, frame } = random.pick(this.recorded);
      this.deliver(random.chance(0.8) ? to : to === 0 ? 1 : 0, frame);
    }
    if (random.chance(faults.restart)) {
      random.pick(sides).restart(this.nowUs);
      this.settled = undefined;
    }
    this.line.sort((a, b) => a.atUs - b.atUs);
    while (this.line[0] !== undefined && this.line[0].atUs <= this.nowUs) {
      const next = this.line.shift();
      if (next !== undefined) this.deliver(next.to, next.frame);
    }
    const [a, b] = [sides[0].confirmed, sides[1].confirmed];
    if (this.settled !== undefined) {
      assert.equal([a, b], [this.settled, this.settled], 'a settled session ended by itself');
    } else if (a !== undefined && a === b) this.settled = a;
  }

  private send(from: 0 | 1, faults: Faults): void {
    const side = this.sides[from];
    const { handshake } = side;
    handshake.tick(this.nowUs);
    const to = from === 0 ? 1 : 0;
    for (let hello = handshake.next(0, this.nowUs); hello; hello = handshake.next(0, this.nowUs)) {
      this.transmit(to, { hello }, faults);
    }
    if (handshake.meeting !== undefined && this.nowUs >= side.sealedUs) {
      side.sealedUs = this.nowUs + 10_000;
      this.transmit(to, { sealed: sessionName(handshake.meeting), from }, faults);
    }
  }

  private transmit(to: 0 | 1, frame: Frame, faults: Faults): void {
    const { random } = this;
    this.recorded.push({ to, frame });
    if (random.chance(faults.loss)) return;
    for (let copies = random.chance(faults.duplicate) ? 2 : 1; copies > 0; copies--) {
      this.line.push({
        atUs: this.nowUs + this.delayUs + random.int(faults.delayUsMax + 1),
        to,
        frame,
      });
    }
  }

  private deliver(to: 0 | 1, frame: Frame): void {
    const side = this.sides[to];
    const { handshake } = side;
    if ('sealed' in frame) {
      const { meeting } = handshake;
      const opens = meeting !== undefined && sessionName(meeting) === frame.sealed;
      if (opens && frame.from !== to && !meeting.confirmed) handshake.confirm();
      return;
    }
    if (handshake.receive(0, frame.hello, this.nowUs) !== 'established') return;
    const mine = hex(handshake.meeting?.mine ?? zeros);
    assert.not.ok(side.used.has(mine), 'a nonce served two sessions');
    side.used.add(mine);
    side.sealedUs = this.nowUs;
  }

  /** Both sides in one confirmed session. */
  get met(): boolean {
    const [a, b] = this.sides;
    return a.confirmed !== undefined && a.confirmed === b.confirmed;
  }
}

const QUIET: Faults = { loss: 0, duplicate: 0, delayUsMax: 100, replay: 0, restart: 0 };

test('two boards meet at once on a quiet line', () => {
  const world = new World(seededRandom('quiet'));
  for (let i = 0; i < 12; i++) world.step(QUIET);
  assert.ok(world.met);
});

test('boards that answer slowly meet all the same', () => {
  for (const delayUs of [150_000, 300_000, 1_000_000]) {
    const world = new World(seededRandom('slow'), delayUs);
    while (!world.met && world.nowUs < 60_000_000) world.step(QUIET);
    assert.ok(world.met, `each way in ${delayUs / 1000} ms: not met in a minute`);
    const session = world.sides[0].confirmed;
    for (let i = 0; i < 5000; i++) world.step(QUIET);
    assert.is(world.sides[0].confirmed, session, 'and stay in it');
  }
});

test('thousands of hostile schedules', () => {
  const random = seededRandom('hostile');
  for (let schedule = 0; schedule < 1500; schedule++) {
    const world = new World(random);
    const faults: Faults = {
      loss: random.pick([0, 0.1, 0.5, 0.9]),
      duplicate: random.pick([0, 0.3]),
      delayUsMax: random.pick([0, 500, 30_000, 300_000]),
      replay: random.pick([0, 0.1, 0.9]),
      restart: random.pick([0, 0.002, 0.05]),
    };
    for (let steps = random.int(200); steps > 0; steps--) world.step(faults);
    const quietUs = world.nowUs + faults.delayUsMax + 2 * CONFIRM_US_MAX;
    while (!world.met && world.nowUs < quietUs) world.step({ ...QUIET, replay: faults.replay / 9 });
    assert.ok(world.met, `schedule ${schedule}: not met, ${JSON.stringify(faults)}`);
    for (let steps = 30; steps > 0; steps--) world.step({ ...QUIET, replay: 0.9 });
  }
});

const hello = (nonce: Uint8Array, echo: Uint8Array, established = false): Hello => ({
  cluster,
  nonce,
  echo,
  established,
  frameBytesMax: 9000,
});

test('our own call sent back is reflected, an answer to nobody is dropped', () => {
  const random = seededRandom('single');
  const handshake = new Side(random).handshake;
  const call = handshake.next(0, 0);
  assert.ok(call !== undefined);
  assert.equal(handshake.receive(0, call, 1), { dropped: 'reflected' });
  const stranger = hello(random.bytes(32), random.bytes(32));
  assert.equal(handshake.receive(0, stranger, 2), { dropped: 'echo' });
  assert.is(handshake.meeting, undefined);
});

test('calls are answered once a millisecond, no more', () => {
  const random = seededRandom('flood');
  const handshake = new Side(random).handshake;
  const call = () => hello(random.bytes(32), zeros);
  assert.is(handshake.receive(0, call(), 0), 'answering');
  assert.equal(handshake.receive(0, call(), 1), { dropped: 'flood' });
  assert.ok(handshake.next(0, 1) !== undefined);
  assert.equal(handshake.receive(0, call(), 900), { dropped: 'flood' });
  assert.is(handshake.receive(0, call(), 1001), 'answering');
});

test('an unconfirmed session is given up, with a new nonce afterwards', () => {
  const random = seededRandom('expire');
  const handshake = new Side(random).handshake;
  const first = handshake.next(0, 0);
  assert.ok(first !== undefined);
  assert.is(handshake.receive(0, hello(random.bytes(32), first.nonce), 0), 'established');
  assert.not.ok(handshake.tick(CONFIRM_US - 1));
  assert.ok(handshake.tick(CONFIRM_US));
  let call = handshake.next(0, CONFIRM_US);
  while (call !== undefined && hex(call.echo) !== hex(zeros)) call = handshake.next(0, CONFIRM_US);
  assert.ok(call !== undefined && hex(call.nonce) !== hex(first.nonce));
});

test('an answer is repeated every CALL_US and not before', () => {
  const random = seededRandom('paced');
  const make = () =>
    new Handshake({ cluster, frameBytesMax: [1500], random: (count) => random.bytes(count) }, 0);
  const [a, b] = [make(), make()];
  const call = a.next(0, 0) as Hello;
  assert.is(b.receive(0, call, 10), 'answering');
  assert.is(a.receive(0, b.next(0, 10) as Hello, 20_000), 'established');
  assert.ok(a.next(0, 20_000) !== undefined, 'tells the peer that it has made the keys');
  assert.is(a.next(0, 20_000 + CALL_US - 1), undefined, 'the peer is given time to confirm');
  assert.ok(a.next(0, 20_000 + CALL_US) !== undefined);
});

test('one session over two paths: calls go over both, answers back where the call came, once each', () => {
  const random = seededRandom('two paths');
  const options = { cluster, frameBytesMax: [9000, 1472] };
  const make = () => new Handshake({ ...options, random: (count) => random.bytes(count) }, 0);
  const [a, b] = [make(), make()];
  const calls = [0, 1].map((path) => a.next(path, 0) as Hello);
  assert.equal(calls[0]?.nonce, calls[1]?.nonce);
  assert.equal(
    calls.map(({ frameBytesMax }) => frameBytesMax),
    [9000, 1472],
  );
  for (const path of [0, 1]) assert.is(b.receive(path, calls[path] as Hello, 10), 'answering');
  const answers = [0, 1].map((path) => b.next(path, 10) as Hello);
  assert.equal(answers[0]?.echo, calls[0]?.nonce);
  assert.is(a.receive(1, answers[1] as Hello, 20), 'established');
  assert.is(a.meeting?.path, 1);
  assert.is(a.next(0, 20), undefined, 'the answer goes over the path it is an answer on');
  const last = a.next(1, 20) as Hello;
  assert.ok(last.established);
  assert.is(b.receive(1, last, 30), 'established');
  assert.ok(b.meeting?.confirmed);
  // The slower path changes nothing any more.
  const { mine } = a.meeting ?? {};
  a.receive(0, answers[0] as Hello, 40);
  assert.is(a.meeting?.mine, mine);
});

test('without a carrier a path is not called over, nor waited for', () => {
  const random = seededRandom('no carrier');
  const options = { cluster, frameBytesMax: [9000, 1472] };
  const handshake = new Handshake({ ...options, random: (count) => random.bytes(count) }, 0);
  handshake.linkChanged(0, false);
  assert.ok(handshake.next(1, 0) !== undefined);
  assert.is(handshake.wakeUs(), CALL_US, 'the best that is there calls as the best does');
  handshake.linkChanged(1, false);
  assert.is(handshake.wakeUs(), Number.POSITIVE_INFINITY);
});

test.run();

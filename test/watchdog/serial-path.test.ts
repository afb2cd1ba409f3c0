// The serial line on real pseudo-terminals with the real port: noise, half frames, hang-up and
// return, a wrong baud rate, two senders; and the arbitration over this line alone.
import { mkdtempSync, rmSync, symlinkSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arbitrate, initialState } from '../../watchdog/arbiter.ts';
import type { ArbiterEvent, ArbiterState, Statement } from '../../watchdog/arbiter-types.ts';
import { DEFAULT_LIMITS } from '../../watchdog/limits.ts';
import { judgeLine, type ModemLines, type SerialLine, VERDICT_WORDS } from '../../watchdog/line.ts';
import { beginPairing, pairingMessage, stepPairing } from '../../watchdog/pairing.ts';
import { type PathKeys, pathKeys, sealStatement } from '../../watchdog/path-frame.ts';
import { SerialPath } from '../../watchdog/serial-path.ts';
import { SerialPortLine } from '../../watchdog/serial-port.ts';
import { lastGaspOf } from '../../watchdog/statement-wire.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';
import { PtyEnd, until } from './pty.ts';

const test = suite('watchdog/serial-path');
const KEY = new Uint8Array(32).fill(5);
const A = pathKeys(KEY, 'a');
const B = pathKeys(KEY, 'b');
const EXTRAS = { position: 17n, health: 0 };
const says = (seq: number): Statement => ({
  ...lastGaspOf(3, { generation: 1, standing: 'sole' }),
  role: 'solo',
  seq,
});

interface End {
  path: SerialPath;
  say: (said: number | Statement, urgent?: boolean, nowMs?: number) => void;
  heard: Statement[];
  paired: Uint8Array[];
  downs: string[];
}

function end(line: SerialLine, keys: PathKeys | null): End {
  const heard: Statement[] = [];
  const paired: Uint8Array[] = [];
  const downs: string[] = [];
  const path = new SerialPath({
    line,
    keys,
    heartbeatMs: DEFAULT_LIMITS.heartbeatMs.serial,
    onStatement: (statement) => heard.push(statement),
    onPairing: (body) => paired.push(body),
    onDown: (why) => downs.push(why),
  });
  const say = (said: number | Statement, urgent = true, nowMs = performance.now()) => {
    const statement = typeof said === 'number' ? says(said) : said;
    path.offer(sealStatement(keys!, statement, EXTRAS), urgent, nowMs);
  };
  return { path, say, heard, paired, downs };
}

let far: PtyEnd;
let near: SerialPortLine;
let a: End;
let b: End;

test.before.each(async () => {
  far = new PtyEnd();
  near = new SerialPortLine({ path: far.slavePath, baudRate: 115200, reopenMs: 20 });
  let up = false;
  near.onUp = () => {
    up = true;
  };
  a = end(near, A);
  b = end(far, B);
  near.start();
  await until('the port is open', () => up);
});
test.after.each(async () => {
  await near.stop();
  far.close();
});

/** Says one thing and waits until it has arrived. */
async function cross(from: End, to: End, seq: number): Promise<void> {
  from.say(seq);
  await until(`statement ${seq}`, () => {
    from.path.tick(performance.now());
    return to.heard.at(-1)?.seq === seq;
  });
}

test('statements cross both ways, unharmed', async () => {
  await cross(a, b, 1);
  await cross(b, a, 2);
  assert.equal(b.heard[0], says(1));
  assert.is(await near.modemLines(), null, 'a pseudo-terminal has no modem lines');
});

test('noise and half frames: each good frame that follows arrives, each bad one is counted', async () => {
  const random = seededRandom('line noise');
  for (let seq = 1; seq <= 60; seq++) {
    far.write(random.bytes(random.int(200)));
    if (random.chance(0.5)) {
      let half: Uint8Array = new Uint8Array(0);
      far.bend = (bytes) => {
        half = bytes.slice(0, random.int(bytes.length));
        return half;
      };
      b.say(1000 + seq);
      far.bend = (bytes) => bytes;
    }
    await cross(b, a, 2000 + seq);
  }
  const { overlong, broken } = a.path.stream;
  const { short, crc, long } = a.path.reader.rejected;
  assert.ok(overlong + broken + short + crc + long > 50);
  assert.is(a.heard.length, 60);
});

test('a line that is looked at: the same, and nothing comes without a look', async () => {
  await near.stop();
  near = new SerialPortLine({
    path: far.slavePath,
    baudRate: 115200,
    reopenMs: 20,
    isPolled: true,
  });
  a = end(near, A);
  near.start();
  await until('open', () => near.opened === 1);
  await cross(a, b, 1);
  for (let seq = 2; seq < 20; seq++) b.say(seq);
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.is(a.heard.length, 0);
  await until('all of it', () => {
    near.poll();
    return a.heard.length === 18;
  });
  near.poll();
  assert.is(a.heard.length, 18, 'an empty line is no news');
  far.close();
  await until('the hang-up is noticed', () => {
    near.poll();
    a.say(20, false);
    return a.downs.length > 0;
  });
  far = new PtyEnd();
});

test('the far end hangs up and comes back: noticed, opened again, talking again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-tty-'));
  const link = join(folder, 'tty');
  await near.stop();
  symlinkSync(far.slavePath, link);
  near = new SerialPortLine({ path: link, baudRate: 115200, reopenMs: 20 });
  a = end(near, A);
  near.start();
  await until('open', () => near.opened === 1);
  await cross(b, a, 1);
  far.close();
  const ms = await until('the hang-up is noticed', () => {
    a.say(9, false);
    return a.downs.length > 0;
  });
  assert.ok(ms < 1000);
  assert.not.ok(near.write(Uint8Array.of(1)), 'nothing can be written now');
  unlinkSync(link);
  far = new PtyEnd();
  b = end(far, B);
  symlinkSync(far.slavePath, link);
  await until('open again', () => near.opened === 2);
  await cross(b, a, 20);
  await cross(a, b, 30);
  rmSync(folder, { recursive: true });
});

/** What a receiver at `to` baud makes of bytes sent at `from`: start bit, 8 bits, stop bit. */
function missampled(bytes: Uint8Array, from: number, to: number): Uint8Array {
  const line: number[] = [];
  for (const byte of bytes) {
    line.push(0);
    for (let bit = 0; bit < 8; bit++) line.push((byte >> bit) & 1);
    line.push(1);
  }
  const level = (bitAt: number) => line[Math.floor(bitAt)] ?? 1;
  const out: number[] = [];
  const step = from / to;
  for (let at = 0; at < line.length; ) {
    if (level(at) === 1) {
      at += step / 4;
      continue;
    }
    let byte = 0;
    for (let bit = 0; bit < 8; bit++) byte |= level(at + step * (1.5 + bit)) << bit;
    out.push(byte);
    at += step * 9.5;
  }
  return Uint8Array.from(out);
}

test('a wrong baud rate at the other end: nothing is accepted; put right, it talks', async () => {
  assert.equal(missampled(Uint8Array.of(1, 2, 3), 9600, 9600), Uint8Array.of(1, 2, 3));
  for (const [at, baud] of [9600, 57600, 230400].entries()) {
    far.bend = (bytes) => missampled(bytes, baud, 115200);
    for (let n = 0; n < 30; n++) {
      b.say(100 * at + n);
    }
    far.bend = (bytes) => bytes;
    await cross(b, a, 100 * at + 99);
    assert.is(a.heard.length, at + 1, `${baud}: only what was sent at the right rate`);
  }
});

test('two senders on one line: a stranger, an echo, and bytes mixed with ours', async () => {
  const stranger = end(far, pathKeys(new Uint8Array(32).fill(6), 'b'));
  const echo = end(far, A);
  b = end(far, B);
  for (let n = 0; n < 10; n++) {
    stranger.say(n);
    echo.say(n);
  }
  await cross(b, a, 100);
  assert.is(a.heard.length, 1);
  assert.ok(a.path.reader.rejected.tag === 10 && a.path.reader.rejected.reflected === 10);
  let mixed = 0;
  far.bend = (bytes) => {
    mixed += 1;
    return Uint8Array.from([...bytes].flatMap((byte, n) => (n % 3 === 0 ? [byte, 0x55] : [byte])));
  };
  b.say(101);
  far.bend = (bytes) => bytes;
  await cross(b, a, 102);
  assert.is(mixed, 1);
  assert.is(a.heard.length, 2);
});

test('the line sets the pace: newest only, urgent at once', () => {
  const written: number[] = [];
  let free = true;
  const fake: SerialLine = {
    onData: () => {},
    onUp: () => {},
    onDown: () => {},
    write: (bytes) => {
      if (free) written.push(bytes.length);
      return free;
    },
    modemLines: () => Promise.resolve(null),
    stop: () => Promise.resolve(),
  };
  const { path, say } = end(fake, A);
  for (let ms = 0; ms < 200; ms += 5) say(ms, false, ms);
  assert.is(written.length, 10, 'one in 20 ms, offered one in 5');
  say(500, true, 201);
  assert.is(written.length, 11, 'urgent: now');
  free = false;
  say(501, true, 202);
  say(502, false, 203);
  free = true;
  path.tick(204);
  assert.is(written.length, 12, 'what waited was replaced, and is still urgent');
  assert.ok(
    Math.max(...written) * 10 <= 115200 * 0.01,
    'a frame is on the wire for less than 10 ms',
  );
});

/** A board whose event loop is busy with its guest but for a moment every 5 ms. */
async function busyTurns(turns: number, turn: (n: number) => void): Promise<void> {
  for (let n = 0; n < turns; n++) {
    await new Promise((resolve) => setImmediate(resolve));
    turn(n);
    spin(DEFAULT_LIMITS.tickMs);
  }
}

function spin(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

test('a loop that turns every 5 ms: a statement leaves every 20 ms, an urgent one in its own turn', async () => {
  await cross(a, b, 1);
  // The turns are real, the clock is not: on a busy host a turn may take any time. A turn of 5 ms
  // comes a little late, each time, and the lateness must not add up.
  const TURN_MS = DEFAULT_LIMITS.tickMs + 0.3;
  const startMs = performance.now();
  const before = a.path.sent;
  const TURNS = 200;
  await busyTurns(TURNS, (n) => {
    a.say(10 + n, false, startMs + n * TURN_MS);
  });
  const expected = (TURNS * TURN_MS) / DEFAULT_LIMITS.heartbeatMs.serial;
  const sent = a.path.sent - before;
  assert.ok(Math.abs(sent - expected) <= 2, `${sent} statements, not ${expected}`);

  // Urgent: in the kernel when offer() returns, however busy this loop and its threads are.
  for (let n = 0; n < 20; n++) {
    await busyTurns(3, () => {});
    a.say(1000 + n);
    assert.is(near.waitingBytes, 0, 'left in the turn that said it');
    await until('it arrives', () => b.heard.at(-1)?.seq === 1000 + n);
  }
});

test('modem lines tell a cable from a silent peer', () => {
  const lines: ModemLines = { dsr: true, dcd: true, cts: true };
  const none: ModemLines = { dsr: false, dcd: false, cts: false };
  assert.is(judgeLine(50, 90, null), 'talking');
  assert.is(judgeLine(91, 90, lines), 'peer-silent');
  assert.is(judgeLine(91, 90, none), 'cable');
  assert.is(judgeLine(91, 90, null), 'unknown');
  assert.is(Object.keys(VERDICT_WORDS).length, 4);
});

test('two new boards pair over the line', async () => {
  const random = seededRandom('pair over line');
  a = end(near, null);
  b = end(far, null);
  let one = beginPairing(random.bytes(32), random.bytes(16));
  let two = beginPairing(random.bytes(32), random.bytes(16));
  const exchange = () => {
    for (const body of a.paired.splice(0)) one = stepPairing(one, { type: 'message', body });
    for (const body of b.paired.splice(0)) two = stepPairing(two, { type: 'message', body });
    const [ofOne, ofTwo] = [pairingMessage(one), pairingMessage(two)];
    if (ofOne !== null) a.path.sayPairing(ofOne);
    if (ofTwo !== null) b.path.sayPairing(ofTwo);
  };
  await until('both show digits', () => {
    exchange();
    return one.stage === 'comparing' && two.stage === 'comparing';
  });
  assert.is(one.code, two.code);
  one = stepPairing(one, { type: 'technician', same: true });
  two = stepPairing(two, { type: 'technician', same: true });
  await until('both have the key', () => {
    exchange();
    return one.stage === 'done' && two.stage === 'done';
  });
  assert.equal(one.key, two.key);
});

/** Two arbiters; every path but the serial line is in memory and can be cut. */
class Duo {
  states: [ArbiterState, ArbiterState];
  otherPaths = true;
  /** This process stood still, or the kernel's own threads with what is on the line: then it takes longer, and may. */
  wasLate = false;
  private steppedMs = performance.now();
  private readonly heardMs: [number, number] = [performance.now(), performance.now()];
  private readonly ends: readonly [End, End];

  constructor(ends: readonly [End, End], boot: number) {
    this.ends = ends;
    const config = {
      limits: DEFAULT_LIMITS,
      witness: 'gateway',
      allowNoWatchdog: true,
      syncAllowed: true,
    } as const;
    this.states = [
      initialState({ ...config, id: 'a' }, performance.now()),
      initialState({ ...config, id: 'b' }, performance.now()),
    ];
    this.fire(0, { type: 'loaded', boot, record: { generation: 1, standing: 'sole' } });
    this.fire(1, { type: 'loaded', boot, record: { generation: 1, standing: 'behind' } });
  }

  fire(side: 0 | 1, event: ArbiterEvent): void {
    const outcome = arbitrate(this.states[side], event, performance.now());
    this.states[side] = outcome.state;
    const peer = side === 0 ? 1 : 0;
    for (const action of outcome.actions) {
      if (action.do === 'say') {
        this.ends[side].say(action.statement, action.urgent);
        for (const path of this.otherPaths ? (['log', 'front'] as const) : []) {
          this.fire(peer, { type: 'heard', path, statement: action.statement });
        }
      } else if (action.do === 'persist') {
        this.fire(side, { type: 'persisted', record: action.record });
      } else if (action.do === 'sync-source') {
        queueMicrotask(() => this.fire(side, { type: 'sync-done', partner: action.partner }));
      } else if (action.do === 'mark-log') {
        this.fire(peer, { type: 'marked', mark: action.mark, session: action.partner.session });
      }
    }
  }

  step(): void {
    const nowMs = performance.now();
    const { stallMs, silentMs } = DEFAULT_LIMITS;
    this.wasLate ||= nowMs - this.steppedMs > stallMs;
    this.steppedMs = nowMs;
    for (const side of [0, 1] as const) {
      if (this.ends[side].heard.length > 0) this.heardMs[side] = nowMs;
      this.wasLate ||= nowMs - this.heardMs[side] > silentMs.serial;
      for (const statement of this.ends[side].heard.splice(0)) {
        this.fire(side, { type: 'heard', path: 'serial', statement });
      }
      this.fire(side, { type: 'witness-answered' });
      this.fire(side, { type: 'tick' });
    }
  }

  async until(roleA: string, roleB: string): Promise<number> {
    return until(`${roleA} and ${roleB}`, () => {
      this.step();
      return this.states[0].role === roleA && this.states[1].role === roleB;
    });
  }
}

test('log link and front LAN gone at once: the pair settles who leads over the serial line alone', async () => {
  for (let boot = 1; ; boot++) {
    const duo = new Duo([a, b], boot);
    await duo.until('protected', 'backup');
    for (let n = 0; n < 50; n++) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      duo.step();
    }
    duo.otherPaths = false;
    duo.wasLate = false;
    const ms = await duo.until('solo', 'target');
    console.log(`log link cut to solo, by serial line: ${ms.toFixed(0)} ms`);
    assert.is(duo.states[0].gate, 'open');
    if (duo.wasLate && boot < 10) continue;
    return assert.ok(ms > DEFAULT_LIMITS.deathMs && ms < DEFAULT_LIMITS.deathMs + 400);
  }
});

test.run();

// What a board tells people of what it sees from tick to tick: each once, and its end once; nothing of what is normal
// at a start; nothing of what passes in a moment.
import { EventLog } from '../../firmware/board/events.ts';
import { Notices, type Seen } from '../../firmware/board/notices.ts';
import { initialState } from '../../watchdog/arbiter.ts';
import type { ArbiterState, Statement } from '../../watchdog/arbiter-types.ts';
import { DEFAULT_LIMITS, type Path } from '../../watchdog/limits.ts';
import { assert, suite } from '../harness/index.ts';
import { PEER } from '../watchdog/arbiter-bench.ts';

const test = suite('board/notices');
const TICK_MS = 5;

/** A board that sees what it is told to see. */
class Board {
  nowMs = 10_000;
  readonly state: ArbiterState;
  disks: Seen['disks'][number][] = [{ path: 'a.img', trouble: null }];
  readonly rejected: Record<Path, number> = { log: 0, serial: 0, front: 0 };
  hears: readonly Path[] = ['log', 'serial', 'front'];
  gatewayAnswers = true;
  private readonly events: EventLog;
  private readonly notices: Notices;
  private told = 0;

  constructor({ hasSerial = true, hasWitness = true } = {}) {
    this.events = new EventLog({ wallMs: () => 0, monoMs: () => this.nowMs });
    const isUsed = { log: true, serial: hasSerial, front: true };
    this.notices = new Notices(this.events, this.nowMs, isUsed);
    this.state = initialState(
      {
        ...{ id: 'a', limits: DEFAULT_LIMITS, allowNoWatchdog: false, syncAllowed: true },
        witness: hasWitness ? 'gateway' : 'none',
      },
      this.nowMs,
    );
    this.state.role = 'seeking';
  }

  pass(ms: number): this {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; ) {
      this.nowMs += TICK_MS;
      for (const path of this.hears) this.state.heardMs[path] = this.nowMs;
      if (this.gatewayAnswers) this.state.witnessMs = this.nowMs;
      const { state, disks, rejected } = this;
      const of = (path: Path) => ({ sent: 0, accepted: 0, rejected: rejected[path] });
      const counters = () => ({ log: of('log'), serial: of('serial'), front: of('front') });
      this.notices.look({ state, disks, counters }, this.nowMs);
    }
    return this;
  }

  /** Codes since the last question, with what tells them apart. */
  news(): string[] {
    const events = this.events.after(this.told);
    this.told = events.at(-1)?.seq ?? this.told;
    return events.map(({ code, data }) =>
      `${code} ${data.path ?? data.to ?? data.boot ?? ''}`.trim(),
    );
  }

  is(role: ArbiterState['role'], peer: Partial<Statement>): this {
    this.state.role = role;
    this.state.peer = { ...PEER, ...peer };
    return this;
  }
}

/** Leads with the other board in step, for a while already. */
function redundant(options?: { hasSerial?: boolean; hasWitness?: boolean }): Board {
  const board = new Board(options).is('protected', { role: 'backup' }).pass(3_000);
  board.news();
  return board;
}

test('a start: the first of everything is told once', () => {
  const board = new Board();
  board.pass(100);
  assert.equal(board.news(), [
    'PAIR-STATE STARTUP',
    'PATH-TALKS log',
    'PATH-TALKS serial',
    'PATH-TALKS front',
    'WITNESS-ANSWERS',
  ]);
  board.is('protected', { role: 'backup', boot: 7 }).pass(100);
  assert.equal(board.news(), ['PAIR-STATE RUN-Redundant', 'REDUNDANCY-BACK', 'PEER-SEEN 7']);
  assert.equal(board.pass(60_000).news(), []);
});

test('what is silent at a start is told only when that lasts', () => {
  const board = new Board();
  board.hears = [];
  board.gatewayAnswers = false;
  board.pass(1_900);
  assert.equal(board.news(), ['PAIR-STATE STARTUP']);
  board.pass(500);
  assert.equal(board.news(), [
    'PATH-SILENT log',
    'PATH-SILENT serial',
    'PATH-SILENT front',
    'WITNESS-SILENT',
  ]);
});

test('a path falls silent and talks again: after its own limit, and once', () => {
  const board = redundant();
  board.hears = ['serial', 'front'];
  assert.equal(board.pass(DEFAULT_LIMITS.silentMs.log).news(), []);
  assert.equal(board.pass(TICK_MS).news(), ['PATH-SILENT log']);
  assert.equal(board.pass(10_000).news(), []);
  board.hears = ['log', 'serial', 'front'];
  assert.equal(board.pass(TICK_MS).news(), ['PATH-TALKS log']);
  board.gatewayAnswers = false;
  assert.equal(board.pass(DEFAULT_LIMITS.witnessSilentMs).news(), []);
  assert.equal(board.pass(TICK_MS).news(), ['WITNESS-SILENT']);
});

test('who slept does not call the others silent', () => {
  const board = redundant();
  board.hears = [];
  board.gatewayAnswers = false;
  board.nowMs += 5_000;
  board.state.awakeMs = board.nowMs;
  assert.equal(board.pass(40).news(), []);
  assert.ok(
    board.pass(200).news().includes('PATH-SILENT log'),
    'when it has listened for long enough',
  );
});

test('a serial line and a gateway that are not configured are never told of', () => {
  const board = redundant({ hasSerial: false, hasWitness: false });
  board.hears = ['log', 'front'];
  board.gatewayAnswers = false;
  assert.equal(board.pass(10_000).news(), []);
});

test('redundancy lost: not in the moment of a hand-over, but when it lasts', () => {
  const board = redundant();
  board.is('leaving', { role: 'promoting' }).pass(50);
  board.is('target', { role: 'protected' }).pass(150);
  board.is('backup', { role: 'protected' }).pass(50);
  assert.equal(board.news(), ['PAIR-STATE SYNCUP', 'PAIR-STATE RUN-Redundant']);
  board.is('solo', { role: 'seeking' }).pass(190);
  assert.equal(board.news(), ['PAIR-STATE RUN-Solo']);
  board.pass(20);
  assert.equal(board.news(), ['REDUNDANCY-LOST']);
  board.is('protected', { role: 'backup' }).pass(20);
  assert.equal(board.news(), ['PAIR-STATE RUN-Redundant', 'REDUNDANCY-BACK']);
});

test('starts and deaths of the other board, each once', () => {
  const board = redundant();
  board.is('protected', { role: 'dead', boot: 7 }).pass(50);
  assert.equal(
    board.news().filter((line) => /PEER/.test(line)),
    ['PEER-DEAD 7'],
  );
  board.is('solo', { role: 'seeking', boot: 8 }).pass(50);
  assert.ok(board.news().includes('PEER-SEEN 8'));
  board.is('solo', { role: 'dead', boot: 8 }).pass(50);
  assert.ok(board.news().includes('PEER-DEAD 8'));
});

test('a disk is well again when it has served for three seconds', () => {
  const board = redundant();
  board.disks = [{ path: 'a.img', trouble: 'EIO' }];
  board.pass(1_000);
  for (let n = 0; n < 5; n++) {
    board.disks = [{ path: 'a.img', trouble: null }];
    board.pass(2_000);
    board.disks = [{ path: 'a.img', trouble: 'EIO' }];
    board.pass(100);
  }
  assert.equal(board.news(), [], 'a bad sector among good ones');
  board.disks = [{ path: 'a.img', trouble: null }];
  assert.equal(board.pass(2_900).news(), []);
  assert.equal(board.pass(200).news(), ['DISK-WELL a.img']);
  assert.equal(board.pass(10_000).news(), []);
});

test('rejected frames: a few are no news, many are told at once and then rarely', () => {
  const board = redundant();
  board.rejected.serial += 4;
  assert.equal(board.pass(2_000).news(), []);
  board.rejected.serial += 5;
  assert.equal(board.pass(1_000).news(), ['FRAMES-REJECTED serial']);
  for (let second = 0; second < 60; second++) {
    board.rejected.serial += 100;
    board.rejected.front += 50;
    board.pass(1_000);
  }
  const told = board.news();
  assert.is(told.filter((line) => line === 'FRAMES-REJECTED serial').length, 2, told.join());
  assert.is(told.filter((line) => line === 'FRAMES-REJECTED front').length, 2, told.join());
  assert.equal(board.pass(60_000).news(), []);
});

test.run();

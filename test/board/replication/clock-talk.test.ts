// Two boards that ask each other for the time: when, what is known from it, and what is left when the link is gone.
import { ClockTalk } from '../../../firmware/board/replication/clock-talk.ts';
import { decodeLogMessage } from '../../../firmware/board/replication/messages.ts';
import { assert, suite } from '../../harness/index.ts';

const test = suite('board/replication/clock-talk');
const US = 1_000n;
const SECOND = 1_000_000_000n;

class Pair {
  nowNs = 50n * SECOND;
  sent = 0;
  works = true;
  aheadNs = 7n * SECOND;
  readonly own: ClockTalk;
  readonly peer: ClockTalk;

  constructor() {
    this.own = new ClockTalk(
      (bytes) => this.carry(bytes, () => this.peer),
      () => this.nowNs,
    );
    this.peer = new ClockTalk(
      (bytes) => this.carry(bytes, () => this.own),
      () => this.nowNs + this.aheadNs,
    );
  }

  private carry(bytes: Uint8Array, to: () => ClockTalk): boolean {
    if (!this.works) return false;
    this.sent++;
    this.nowNs += 80n * US;
    const decoded = decodeLogMessage(bytes);
    assert.ok(decoded.ok);
    if (decoded.message.type === 'clock-ask') to().asked(decoded.message);
    if (decoded.message.type === 'clock') to().answered(decoded.message);
    return true;
  }

  steps(count: number, ns = 50_000_000n): void {
    for (let left = count; left > 0; left--) {
      this.nowNs += ns;
      this.own.step();
    }
  }
}

test('when the link comes up it asks at once and a few times more, then once a second', () => {
  const pair = new Pair();
  pair.steps(10);
  assert.is(pair.sent, 0, 'nobody is asked before');
  assert.is(pair.own.offset, undefined);
  pair.own.linkUp();
  const { offsetNs, errorNs } = pair.own.offset!;
  assert.ok(offsetNs + pair.aheadNs <= errorNs && -offsetNs - pair.aheadNs <= errorNs);
  assert.ok(errorNs <= 81n * US);
  pair.steps(7);
  assert.is(pair.sent, 2 * 8);
  pair.steps(100);
  assert.is(pair.sent, 2 * (8 + 5));
  assert.ok(pair.own.offset!.errorNs < 1_000n * US);
});

test('what was learnt counts while the link is gone; a peer that started anew is believed', () => {
  const pair = new Pair();
  pair.own.linkUp();
  pair.own.linkDown();
  const { sent } = pair;
  pair.steps(100);
  assert.is(pair.sent, sent);
  const { offsetNs, errorNs } = pair.own.offset!;
  assert.ok(-offsetNs - pair.aheadNs <= errorNs && errorNs < 5_000n * US, `${errorNs}`);
  pair.works = false;
  pair.own.linkUp();
  assert.is(pair.own.offset!.offsetNs, offsetNs, 'until it has answered');
  pair.works = true;
  pair.aheadNs = -40n * SECOND;
  pair.steps(1);
  assert.ok(pair.own.offset!.offsetNs > 39n * SECOND);
});

test.run();

// The leading side by itself: which acknowledgements count, who is refused, who is let go and told.
import { encodeFacts } from '../../../firmware/board/replication/compat.ts';
import { Leading } from '../../../firmware/board/replication/leading.ts';
import type { Ack } from '../../../firmware/board/replication/messages.ts';
import { LAG_LIMITS } from '../../../firmware/lockstep/lag.ts';
import { assert, suite } from '../../harness/index.ts';
import { FACTS, SharedFake } from './shared-fake.ts';

const test = suite('board/replication/leading');
const PARTNER = { boot: 3, session: 4 };

/** A primary that went live and has just put its mark for the peer's grant into the log. */
function granted() {
  const fake = new SharedFake();
  fake.is({ role: 'protected', generation: 2, grant: null });
  const leading = new Leading(fake.shared);
  leading.keepLog();
  leading.log(Uint8Array.of(1));
  leading.mark('grant', PARTNER, 0n);
  const ack = (change: Partial<Ack> = {}): void =>
    leading.ack({
      ...{ type: 'ack', stream: 1, generation: 2, session: 4, through: 2, applied: 0 },
      ...{ position: 0n, virtualNs: 0n },
      ...change,
    });
  return { fake, leading, ack };
}

test('an acknowledgement counts when it names stream, generation and session of the grant, not before', () => {
  const { fake, leading, ack } = granted();
  assert.equal(fake.types(), ['begin', 'log', 'heard', 'mark']);
  ack();
  assert.equal(fake.acked, [], 'the grant is not out yet');
  fake.is({ grant: PARTNER });
  leading.countAck();
  assert.equal(fake.acked, [2], 'and then the one that came before counts');
  leading.log(Uint8Array.of(2));
  ack({ stream: 2, through: 3 });
  ack({ generation: 1, through: 3 });
  ack({ session: 3, through: 3 });
  ack({ through: 4 });
  assert.equal(
    fake.acked,
    [2],
    'another stream, an older reign, another session, more than was sent',
  );
  ack({ through: 3 });
  assert.equal(fake.acked, [2, 3]);
  fake.is({ grant: { boot: 3, session: 5 } });
  leading.countAck();
  assert.equal(fake.acked, [2, 3], 'granted to another session');
  leading.stop();
});

test('a board that does not fit is refused in words, and nothing is begun', () => {
  const fake = new SharedFake();
  const leading = new Leading(fake.shared);
  leading.syncSource(PARTNER);
  const theirs = { ...FACTS, memoryBytes: 2 << 20, kernel: Uint8Array.of(0xbb) };
  leading.wanted({
    type: 'want',
    bases: [],
    forgotten: '',
    ...PARTNER,
    facts: encodeFacts(theirs),
  });
  const refusal = fake.sent[0];
  assert.ok(refusal?.type === 'refuse' && refusal.session === PARTNER.session);
  assert.match(refusal.reasons.join('; '), /guest memory: .*kernel file: /);
  assert.equal(fake.events, ['SYNC-REFUSED']);
  assert.is(leading.syncFacts()?.phase, 'refused');
  leading.stop();
});

test('a follower whose log has a gap is told once that nobody waits for it, when there is a way', () => {
  const { fake, leading } = granted();
  fake.is({ grant: PARTNER });
  fake.linkWorks = false;
  leading.log(Uint8Array.of(2));
  leading.govern();
  assert.equal(fake.types(), ['begin', 'log', 'heard', 'mark']);
  fake.linkWorks = true;
  leading.linkUp();
  leading.govern();
  leading.govern();
  assert.equal(fake.types().slice(4), ['drop']);
  assert.equal(fake.events, ['LOG-TROUBLE']);
  leading.stop();
});

test('a backup that falls behind slows the guest, says so once, and is let go when patience ends', () => {
  const { fake, leading, ack } = granted();
  fake.is({ grant: PARTNER });
  ack({ applied: 2 });
  leading.log(Uint8Array.of(2));
  const wait = (ms: number) => {
    for (const endMs = fake.nowMs + ms; fake.nowMs < endMs; ) {
      fake.nowMs += LAG_LIMITS.stepMs;
      leading.govern();
    }
  };
  wait(LAG_LIMITS.hardMs / 2);
  assert.equal(fake.events, ['LAG-SLOWED']);
  assert.ok(leading.throttleShare > 0 && fake.throttled.length > 0);
  assert.not.ok(leading.isFarBehind);
  wait(LAG_LIMITS.hardMs);
  assert.ok(leading.isFarBehind);
  wait(LAG_LIMITS.patienceMs);
  assert.equal(fake.events, ['LAG-SLOWED', 'LAG-DROPPED']);
  assert.is(fake.types().at(-1), 'drop');
  assert.is(leading.throttleShare, 0, 'the guest runs freely again');
  assert.is(leading.lagMs, null);
  leading.stop();
});

test('a sawtooth of lag for 14 minutes is one piece of news, with how often it came; calm ends it', () => {
  const { fake, leading, ack } = granted();
  fake.is({ grant: PARTNER });
  let through = 2;
  ack({ applied: through });
  const begunMs = fake.nowMs;
  /** The backup is behind for this long, and then keeps up for that long. */
  const tooth = (behindMs: number, wellMs: number): void => {
    leading.log(Uint8Array.of(2));
    through += 1;
    const follows = fake.nowMs + behindMs;
    for (const endMs = follows + wellMs; fake.nowMs < endMs; ) {
      fake.nowMs += LAG_LIMITS.stepMs;
      if (fake.nowMs >= follows) ack({ through, applied: through });
      leading.govern();
    }
  };
  let slowings = 0;
  let before = 0;
  for (; fake.nowMs - begunMs < 14 * 60_000; slowings++) {
    tooth(900, 27_000);
    assert.ok(fake.throttled.length > before, 'slowed each time');
    assert.is(leading.throttleShare, 0, 'and let go again');
    before = fake.throttled.length;
  }
  assert.ok(slowings >= 30);
  assert.equal(fake.events, ['LAG-SLOWED', 'LAG-SLOWED']);
  assert.match(fake.texts[1]!, /ms behind, and the guest was slowed 2\d times in 10 min$/);
  tooth(0, 60_000);
  assert.equal(fake.events.slice(2), ['LAG-WELL']);
  assert.match(fake.texts[2]!, /keeps up; the guest was slowed 3\d times in 14 min$/);
  // A single moment is no news; what comes back must be calm for longer.
  tooth(100, 200_000);
  assert.is(fake.events.length, 3);
  tooth(900, 100_000);
  tooth(900, 100_000);
  assert.equal(fake.events.slice(3), ['LAG-SLOWED']);
  tooth(0, 600_000);
  assert.equal(fake.events.slice(3), ['LAG-SLOWED', 'LAG-WELL']);
  leading.stop();
});

test('the follower is in step when it moves along and is near, told once', () => {
  const { fake, leading, ack } = granted();
  leading.stop();
  leading.syncSource(PARTNER);
  leading.stream.begin(PARTNER, 2, 0n);
  leading.log(Uint8Array.of(1));
  fake.nowMs += LAG_LIMITS.hardMs * 2;
  const synced = { type: 'synced', stream: 2, session: 4 } as const;
  leading.targetSynced({ ...synced, stream: 1 });
  leading.targetSynced({ ...synced, session: 9 });
  leading.targetSynced(synced);
  assert.equal(fake.arbiter, [], 'it moves along, two seconds behind');
  ack({ stream: 2, through: 1, applied: 1 });
  leading.govern();
  assert.equal(fake.arbiter, [{ type: 'sync-done', partner: PARTNER }]);
  leading.stop();
});

test.run();

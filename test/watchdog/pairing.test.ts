// Pairing: two honest boards, a lossy line, and somebody in the middle who may do anything but see a
// nonce before committing.
import { randomBytes } from 'node:crypto';
import {
  beginPairing,
  type PairingState,
  pairingMessage,
  stepPairing,
} from '../../watchdog/pairing.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('watchdog/pairing');
const random = seededRandom('pairing');
const begin = () => beginPairing(random.bytes(32), random.bytes(16));

/** Exchanges messages until both have the digits, losing some. */
function talk(one: PairingState, two: PairingState, loss = 0): [PairingState, PairingState] {
  for (let round = 0; round < 60; round++) {
    const fromOne = pairingMessage(one);
    const fromTwo = pairingMessage(two);
    if (fromOne !== null && !random.chance(loss))
      two = stepPairing(two, { type: 'message', body: fromOne });
    if (fromTwo !== null && !random.chance(loss))
      one = stepPairing(one, { type: 'message', body: fromTwo });
  }
  return [one, two];
}

const same = (state: PairingState) => stepPairing(state, { type: 'technician', same: true });

test('two boards show the same six digits, take opposite sides, and end with the same key', () => {
  for (const loss of [0, 0.4]) {
    let [one, two] = talk(begin(), begin(), loss);
    assert.is(one.stage, 'comparing');
    assert.match(one.code ?? '', /^\d{6}$/);
    assert.is(one.code, two.code);
    assert.is.not(one.side, two.side);
    one = same(one);
    [one, two] = talk(one, two, loss);
    assert.is(one.stage, 'confirming', 'waits for the other technician');
    assert.is(two.stage, 'comparing');
    [one, two] = talk(one, same(two), loss);
    assert.is(one.stage, 'done');
    assert.is(two.stage, 'done');
    assert.equal(one.key, two.key);
    assert.is(one.key?.length, 32);
  }
});

test('the sides are in the order of the names, whatever the keys; by the keys where there is no order', () => {
  const named = (name: string) => beginPairing(random.bytes(32), random.bytes(16), name);
  const pairs = [
    ['press-7-a', 'press-7-b'],
    ['board-2', 'board-10'],
    ['LEFT', 'right'],
    ['press', 'press-2'],
    ['x'.repeat(30), `${'x'.repeat(30)}y`],
  ] as const;
  for (const [first, second] of pairs)
    for (let n = 0; n < 2; n++) {
      const [one, two] = talk(named(first), named(second));
      assert.equal([one.side, two.side], ['a', 'b'], first);
      const [two2, one2] = talk(named(second), named(first));
      assert.equal([one2.side, two2.side], ['a', 'b'], second);
    }
  const sides = Array.from({ length: 12 }, () => talk(named('same'), named('same')));
  assert.ok(sides.every(([one, two]) => one.side !== two.side));
  assert.is(new Set(sides.map(([one]) => one.side)).size, 2);
  // Somebody in the middle cannot change a name unseen.
  const shown = pairingMessage({ ...named('press-7-b'), stage: 'revealing' })!;
  const bound = stepPairing(named('press-7-a'), {
    type: 'message',
    body: pairingMessage(named('press-7-b'))!,
  });
  const changed = stepPairing(bound, { type: 'message', body: shown });
  assert.is(changed.stage, 'failed');
});

test('the digits and keys differ from pairing to pairing', () => {
  const codes = new Set(Array.from({ length: 40 }, () => talk(begin(), begin())[0].code));
  assert.ok(codes.size >= 39);
});

test('somebody in the middle with keys of its own: the digits differ', () => {
  let [victimA, evilA] = talk(begin(), begin());
  let [evilB, victimB] = talk(begin(), begin());
  assert.is.not(victimA.code, victimB.code);
  assert.is(evilA.code, victimA.code);
  assert.is(evilB.code, victimB.code);
  victimA = stepPairing(victimA, { type: 'technician', same: false });
  assert.is(victimA.stage, 'failed');
  assert.is(victimA.key, null);
  [victimA, evilA] = talk(victimA, evilA);
  assert.is(evilA.stage, 'failed');
  [evilB, victimB] = talk(evilB, victimB);
  assert.is(victimB.stage, 'comparing');
});

test('nobody shows its key before the other is bound to one, and nobody may change it after', () => {
  const honest = begin();
  assert.is(pairingMessage(honest)?.[0], 1, 'only the commitment, until then');
  const reveal = pairingMessage({ ...begin(), stage: 'revealing' }) as Uint8Array;
  const early = stepPairing(honest, { type: 'message', body: reveal });
  assert.is(early.stage, 'comparing', 'its commitment was lost; it is bound all the same');
  const committed = stepPairing(honest, {
    type: 'message',
    body: pairingMessage(begin()) as Uint8Array,
  });
  assert.is(committed.stage, 'revealing');
  const changed = stepPairing(committed, { type: 'message', body: reveal });
  assert.is(changed.stage, 'failed');
  assert.match(changed.why, /changed its key/);
});

test('a loop plug, a second board, a bad point and rubbish are told apart', () => {
  const honest = begin();
  const echo = stepPairing(honest, { type: 'message', body: pairingMessage(honest) as Uint8Array });
  assert.match(echo.why, /echoes/);
  const first = stepPairing(honest, {
    type: 'message',
    body: pairingMessage(begin()) as Uint8Array,
  });
  const second = stepPairing(first, {
    type: 'message',
    body: pairingMessage(begin()) as Uint8Array,
  });
  assert.match(second.why, /second board/);
  for (let i = 0; i < 2000; i++) {
    const state = stepPairing(i % 2 === 0 ? honest : first, {
      type: 'message',
      body: random.bytes(random.int(60)),
    });
    assert.ok(state.stage !== 'confirming' && state.stage !== 'done');
  }
  // The point at zero gives the same secret with every key: the library refuses it.
  const zero: PairingState = { ...begin(), publicKey: new Uint8Array(32) };
  const poisoned = talk(begin(), zero)[0];
  assert.is(poisoned.stage, 'failed');
  assert.match(poisoned.why, /key that is none/);
});

test('a confirmation made with another key fails', () => {
  let [one, two] = talk(begin(), begin());
  one = same(one);
  two = { ...same(two), key: randomBytes(32) };
  [one, two] = talk(one, two);
  assert.is(one.stage, 'failed');
  assert.match(one.why, /keys of the two sides differ/);
});

test.run();

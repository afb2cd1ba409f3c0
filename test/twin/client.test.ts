// The verifier can fail: every lie a twin could tell is caught by name.
import { Fnv64 } from '../guests/plant/fnv.ts';
import { checkJournal, makeRecord } from '../guests/plant/journal.ts';
import { assert, suite } from '../harness/index.ts';
import { Answers, lineOf } from './client-lines.ts';
import { Numbers } from './frame-client.ts';

const test = suite('twin/client');

const sumOf = (text: string) => new Fnv64().add(Buffer.from(text)).hex;
const said = (count: number) => Array.from({ length: count }, (_, i) => lineOf(i + 1)).join('');
const honest = (n: number, journal = 7) => `${n} ${sumOf(said(n))} ${journal}`;

test('FNV-1a is FNV-1a', () => {
  // The known values of the empty text, "a" and "foobar".
  assert.is(sumOf(''), 'cbf29ce484222325');
  assert.is(sumOf('a'), 'af63dc4c8601ec8c');
  assert.is(sumOf('foobar'), '85944171f73967e8');
});

test('honest answers pass', () => {
  const answers = new Answers();
  for (let n = 1; n <= 50; n++) assert.equal(answers.take(honest(n)), { ok: true });
  assert.is(answers.answered, 50);
  assert.is(answers.answeredBytes, said(50).length);
});

test('an answer twice, one left out, other bytes heard, a journal that forgets', () => {
  const fault = (text: string) => {
    const answers = new Answers();
    answers.take(honest(1));
    answers.take(honest(2));
    const verdict = answers.take(text);
    return verdict.ok ? 'none' : verdict.fault;
  };
  assert.is(fault(honest(3)), 'none');
  assert.is(fault(honest(2)), 'number');
  assert.is(fault(honest(4)), 'number');
  assert.is(fault(`3 ${sumOf(said(3).replace('2 ', '2_'))} 7`), 'sum');
  assert.is(fault(`3 ${sumOf(lineOf(1) + lineOf(3) + lineOf(2))} 7`), 'sum');
  assert.is(fault(honest(3, 6)), 'journal');
  assert.is(fault('3 zz 7'), 'form');
});

test('a journal: whole, in a ring, with a hole, altered, with an old record in a new place', () => {
  const slots = 64;
  const image = (last: number) => {
    const bytes = Buffer.alloc(slots * 512);
    for (let seq = Math.max(1, last - slots + 1); seq <= last; seq++)
      makeRecord(seq).copy(bytes, (seq % slots) * 512);
    return bytes;
  };
  assert.equal(checkJournal(Buffer.alloc(slots * 512)), { last: 0, whole: 0, faults: [] });
  assert.equal(checkJournal(image(5)), { last: 5, whole: 5, faults: [] });
  assert.equal(checkJournal(image(1000)), { last: 1000, whole: 64, faults: [] });
  const holed = image(1000).fill(0, (990 % slots) * 512, (990 % slots) * 512 + 512);
  assert.equal(checkJournal(holed).faults, ['record 990 is missing, 0 lies in its place']);
  const altered = image(1000);
  altered[(980 % slots) * 512 + 100]! ^= 1;
  assert.equal(checkJournal(altered).faults, ['record 980 is altered']);
  const old = image(1000);
  makeRecord(970 - slots).copy(old, (970 % slots) * 512);
  assert.is(checkJournal(old).faults.length, 1);
});

test('the small guest: a number left out, one told differently; a repeat is no lie', () => {
  const answer = (number: number, text = 'as ever') => {
    const bytes = Buffer.alloc(60, text);
    bytes.writeBigUInt64LE(BigInt(number), 30);
    return bytes;
  };
  const faults = (...numbers: Buffer[]) => {
    const all = new Numbers();
    return numbers.map((bytes) => all.take(bytes)?.fault ?? 'none');
  };
  // The first one may be any: others may have asked before.
  assert.equal(faults(answer(5), answer(6), answer(7)), ['none', 'none', 'none']);
  assert.equal(faults(answer(1), answer(2), answer(2), answer(3)).join(), 'none,none,none,none');
  assert.equal(faults(answer(1), answer(3)), ['none', 'number']);
  assert.equal(faults(answer(1), answer(1, 'other')), ['none', 'repeat']);
});

test.run();

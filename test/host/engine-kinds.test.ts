import {
  ENGINE_CHOICES,
  ENGINE_KINDS,
  engineKind,
  statesFor,
  traitsOf,
} from '../../firmware/host/engine-kinds.ts';
import { createEngine } from '../../firmware/host/engines.ts';
import { GuestMemory } from '../../native/index.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('host/engine-kinds');

test('names in logs and in configurations stay what they are', () => {
  assert.equal([...ENGINE_KINDS].sort(), ['soft', 'vtx-branches', 'vtx-exits', 'vtx-steps']);
  assert.equal(ENGINE_CHOICES, [
    ...['auto', 'soft', 'vtx', 'vtx-exits', 'vtx-steps', 'soft-interpreter'],
  ]);
  for (const kind of ENGINE_KINDS) assert.is(engineKind(kind), kind);
  assert.is(engineKind('of-a-later-version'), undefined);
  assert.is(engineKind('toString'), undefined);
});

test('a guest saved on one engine goes on on every other', () => {
  for (const kind of ENGINE_KINDS) assert.equal(statesFor(kind), ENGINE_KINDS);
});

test('only positions at exits close slices; what counts branches has to land', () => {
  const having = (flag: 'closesSlices' | 'mustLand' | 'isHardware') =>
    ENGINE_KINDS.filter((kind) => traitsOf(kind)[flag]);
  assert.equal(having('closesSlices'), ['vtx-exits']);
  assert.equal(having('mustLand'), ['vtx-branches']);
  assert.equal(having('isHardware').length, ENGINE_KINDS.length - 1);
});

test('the software engine is made on every host', () => {
  const memory = new GuestMemory({ bytes: 4 << 20 });
  const engine = createEngine(memory, 'soft');
  assert.is(engine.kind, 'soft');
  assert.equal(engine.statesFrom, statesFor('soft'));
  assert.is(engine.position(), 0n);
  engine.close();
  memory.close();
});

test.run();

// The output gate against a model that is naive on purpose: a list, looked through again each time.
import { type GateMode, OutputGate, UNCOVERED } from '../../firmware/lockstep/gate.ts';
import { assert, type SeededRandom, seededRandom, suite } from '../harness/index.ts';

const test = suite('lockstep/gate');

/** What must leave, by the sentence: in order, and never before its cover. */
class Model {
  readonly left: number[] = [];
  private waiting: { item: number; cover: number }[] = [];
  private mode: GateMode = 'closed';
  private acked = 0;

  apply(step: Step): void {
    if (step.do === 'put') this.waiting.push({ item: step.item, cover: step.cover });
    if (step.do === 'mode') this.mode = step.mode;
    if (step.do === 'ack') this.acked = Math.max(this.acked, step.through);
    if (step.do === 'restart') {
      this.acked = 0;
      for (const one of this.waiting) one.cover = UNCOVERED;
    }
    for (let first = this.waiting[0]; first !== undefined; first = this.waiting[0]) {
      const isCovered = this.mode === 'acked' && first.cover <= this.acked;
      if (this.mode !== 'open' && !isCovered) return;
      this.left.push(first.item);
      this.waiting.shift();
    }
  }
}

type Step =
  | { do: 'put'; item: number; cover: number }
  | { do: 'mode'; mode: GateMode }
  | { do: 'ack'; through: number }
  | { do: 'restart' };

function randomSteps(random: SeededRandom): Step[] {
  let log = 0;
  let item = 0;
  return Array.from({ length: 200 }, (): Step => {
    const dice = random.int(20);
    if (dice < 9) {
      log += random.int(3);
      return { do: 'put', item: ++item, cover: random.chance(0.05) ? UNCOVERED : log };
    }
    if (dice < 16) return { do: 'ack', through: random.int(log + 2) };
    if (dice < 19) return { do: 'mode', mode: random.pick(['closed', 'acked', 'open'] as const) };
    log = 0;
    return { do: 'restart' };
  });
}

test('as the model: nothing before its cover, nothing lost, order kept', () => {
  const random = seededRandom('gate');
  for (let times = 0; times < 300; times++) {
    const model = new Model();
    const left: number[] = [];
    const gate = new OutputGate<number>((items) => left.push(...items));
    for (const [at, step] of randomSteps(random).entries()) {
      model.apply(step);
      if (step.do === 'put') gate.put([step.item], step.cover, at);
      if (step.do === 'mode') gate.setMode(step.mode);
      if (step.do === 'ack') gate.acked(step.through);
      if (step.do === 'restart') gate.restart();
      assert.equal(left, model.left, `run ${times}, step ${at}: ${JSON.stringify(step)}`);
    }
    const total = left.length + gate.waiting;
    left.push(...gate.takeAll());
    assert.equal(
      left,
      Array.from({ length: total }, (_, i) => i + 1),
      'all of them, in order',
    );
  }
});

test('says how long the oldest has waited', () => {
  const gate = new OutputGate<string>(() => {});
  gate.setMode('acked');
  assert.is(gate.oldestMs(5), 0);
  gate.put(['a'], 3, 100);
  gate.put(['b'], 4, 150);
  assert.is(gate.oldestMs(170), 70);
  gate.acked(3);
  assert.is(gate.oldestMs(170), 20);
});

test('what has no cover waits for an open gate, and holds back what comes after', () => {
  const left: string[] = [];
  const gate = new OutputGate<string>((items) => left.push(...items));
  gate.setMode('acked');
  gate.put(['x'], UNCOVERED, 0);
  gate.put(['y'], 1, 0);
  gate.acked(10);
  assert.equal(left, []);
  gate.setMode('open');
  assert.equal(left, ['x', 'y']);
});

test.run();

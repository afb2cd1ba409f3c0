// Where outputs leave or wait: behind the gate on a primary, held on a backup, through takeover and hand-over.
import { GuestOutput } from '../../../firmware/board/replication/guest-output.ts';
import type { LineSettings } from '../../../firmware/host/serial/guest-lines.ts';
import type { OutputItem } from '../../../firmware/host/vcpu/messages.ts';
import { assert, suite } from '../../harness/index.ts';

const test = suite('board/replication/guest-output');
const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);

function made() {
  const clock = { nowMs: 0 };
  const left: bigint[] = [];
  const frames: Uint8Array[] = [];
  const lines: LineSettings[] = [];
  const released: bigint[] = [];
  const output = new GuestOutput({
    macs: [MAC],
    deliver: (items) => {
      for (const item of items) {
        left.push(item.sequence);
        if (item.kind === 'net-tx') frames.push(item.frame);
        if (item.kind === 'serial-line') lines.push(item);
      }
    },
    released: (sequence) => released.push(sequence),
    nowMs: () => clock.nowMs,
  });
  return { output, clock, left, frames, lines, released };
}

const said = (...numbers: number[]): OutputItem[] =>
  numbers.map((number) => ({
    kind: 'serial-tx',
    port: 'com1',
    bytes: Uint8Array.of(number),
    sequence: BigInt(number),
  }));

test('a primary lets out what is covered, tells how far, and knows how long it waited', () => {
  const { output, clock, left, released } = made();
  output.setMode('acked');
  output.lead(said(1, 2), 3);
  clock.nowMs = 4;
  output.lead(said(3), 5);
  output.acked(2);
  assert.equal([left, output.waiting, output.oldestMs()], [[], 3, 4]);
  output.acked(4);
  assert.equal([left, released, output.waiting], [[1n, 2n], [2n], 1]);
  assert.equal(output.delaysMs, [4, 4]);
  output.setMode('closed');
  output.acked(9);
  assert.equal(left, [1n, 2n], 'a closed gate opens for no acknowledgement');
  output.setMode('open');
  assert.equal(
    [left, released],
    [
      [1n, 2n, 3n],
      [2n, 3n],
    ],
  );
});

test('a backup says nothing; taking over, it says what the world may not have seen, in order', () => {
  const { output, left } = made();
  output.follow(said(1, 2, 3, 4));
  output.releasedThere(2n);
  assert.equal([left, output.heldCount], [[], 2]);
  assert.is(output.takeOver(), 2);
  assert.equal(left, [], 'not before the gate says so');
  let first = 0;
  output.whenFirst(() => first++);
  output.setMode('acked');
  // Nobody follows the new reign yet, and yet these may go: the log that led to them is here.
  assert.equal([left, first], [[3n, 4n], 1]);
  output.lead(said(5), 1);
  assert.equal(left, [3n, 4n]);
  output.acked(1);
  assert.equal([left, first], [[3n, 4n, 5n], 1]);
});

test('handing over, what has not left is the new primary’s to say, and ours if that one dies', () => {
  const { output, left } = made();
  output.setMode('acked');
  output.lead(said(1, 2, 3), 7);
  output.setMode('closed');
  output.handOver();
  output.releasedThere(1n);
  output.setMode('acked');
  output.acked(7);
  assert.equal([left, output.waiting, output.heldCount], [[], 0, 2]);
  assert.is(output.takeOver(), 2);
  assert.equal(left, [2n, 3n]);
});

test('a new stream counts anew: an old acknowledgement lets nothing of it out', () => {
  const { output, left } = made();
  output.setMode('acked');
  output.acked(50);
  output.restart();
  output.lead(said(1), 2);
  assert.equal(left, []);
  output.acked(2);
  assert.equal(left, [1n]);
});

test('with the machine goes what it said and has not left', () => {
  const { output, left } = made();
  output.lead(said(1), 1);
  output.follow(said(2));
  output.clear();
  output.setMode('open');
  assert.equal([left, output.takeOver()], [[], 0]);
  output.follow(said(1));
  assert.is(output.heldCount, 1, 'another machine counts from its own beginning');
});

test('frames in the name of the guest pass the gate, and say only where it is', () => {
  const { output, frames, released } = made();
  output.announce();
  assert.ok(frames.length > 0);
  for (const frame of frames) assert.equal(frame.slice(6, 12), MAC);
  assert.equal(released, []);
});

/** ARP of the guest in VLAN 7. */
const taggedArp = Uint8Array.of(
  ...[255, 255, 255, 255, 255, 255, ...MAC, 0x81, 0, 0, 7, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
  ...[...MAC, 10, 7, 0, 2, 0, 0, 0, 0, 0, 0, 10, 7, 0, 9],
);
const tagged: OutputItem = { kind: 'net-tx', nic: 0, frame: taggedArp, sequence: 1n };

test('where the guest was heard it is announced: by who led, by who followed, by who came later', () => {
  const [leader, backup, late] = [made(), made(), made()];
  leader.output.lead([tagged], 0);
  backup.output.follow([tagged]);
  assert.ok(late.output.takeHeard(leader.output.heard()));
  for (const { output, frames } of [leader, backup, late]) {
    frames.length = 0;
    assert.is(output.announce(), 3);
    const types = frames.map((frame) => Buffer.from(frame).toString('hex', 12, 18));
    assert.equal(types, ['803500010800', '810000078035', '810000070806']);
  }
  assert.not.ok(late.output.takeHeard(Uint8Array.of(1, 2, 3)), 'what cannot be read');
  assert.is(late.output.announce(), 3);
  for (const { output } of [leader, backup]) {
    if (output === leader.output) output.reborn();
    else output.clear();
    assert.is(output.announce(), 1, 'another life has said nothing yet');
  }
});

test('a board that goes on with the guest sets its lines as the guest last said, to whomever', () => {
  const line = (dtr: boolean): OutputItem => ({
    ...{ kind: 'serial-line', port: 'com2', baud: 19_200, dataBits: 8, parity: 'none' },
    ...{ stopBits: 1, sendBreak: false, dtr, rts: true, sequence: 1n },
  });
  const [leader, backup, late] = [made(), made(), made()];
  leader.output.lead([line(false)], 0);
  leader.output.lead([line(true)], 0);
  backup.output.follow([line(false)]);
  backup.output.follow([line(true)]);
  assert.ok(late.output.takeHeard(leader.output.heard()));
  backup.output.releasedThere(1n);
  for (const { output, lines } of [backup, late]) {
    assert.equal(lines, []);
    output.takeOver();
    assert.equal(
      lines.map(({ baud, dtr }) => [baud, dtr]),
      [[19_200, true]],
    );
  }
  leader.output.reborn();
  assert.ok(late.output.takeHeard(leader.output.heard()), 'a guest that said nothing yet');
});

test.run();

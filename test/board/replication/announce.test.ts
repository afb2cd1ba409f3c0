// Frames in the guest's name, byte by byte, and what is learnt from the guest's own.
import { AddressLearner, announcements } from '../../../firmware/board/replication/announce.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';

const test = suite('board/replication/announce');
const MAC = Uint8Array.of(2, 1, 2, 3, 4, 5);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** ARP as RFC 826 has it, from the guest unless said otherwise. */
function arp(address: number[], { mac = MAC, operation = 1, from = MAC } = {}): Uint8Array {
  const frame = new Uint8Array(60);
  frame.fill(0xff, 0, 6);
  frame.set(from, 6);
  frame.set([8, 6, 0, 1, 8, 0, 6, 4, 0, operation], 12);
  frame.set(mac, 22);
  frame.set(address, 28);
  frame.set([10, 0, 0, 9], 38);
  return frame;
}

test('a switch hears RARP, neighbours hear gratuitous ARP', () => {
  const [rarp, first, second, ...none] = announcements(MAC, [
    Uint8Array.of(10, 0, 0, 2),
    Uint8Array.of(192, 168, 7, 8),
  ]);
  assert.is(none.length, 0);
  const pad = (text: string) => text.padEnd(120, '0');
  const head = 'ffffffffffff020102030405';
  assert.is(
    hex(rarp!),
    pad(`${head}8035${'0001080006040003'}${'020102030405'}00000000${'020102030405'}00000000`),
  );
  assert.is(
    hex(first!),
    pad(`${head}0806${'0001080006040001'}${'020102030405'}0a000002${'000000000000'}0a000002`),
  );
  assert.ok(hex(second!).includes('c0a80708'));
});

test('addresses are learnt from the guest, newest last, not more than a few', () => {
  const learner = new AddressLearner(MAC);
  learner.sent(arp([10, 0, 0, 2]));
  learner.sent(arp([10, 0, 0, 3], { operation: 2 }));
  learner.sent(arp([10, 0, 0, 2]));
  assert.equal(
    learner.addresses.map((address) => address.join('.')),
    ['10.0.0.3', '10.0.0.2'],
  );
  for (let i = 0; i < 100; i++) learner.sent(arp([10, 0, 1, i]));
  assert.is(learner.addresses.length, 16);
  assert.equal([...learner.addresses.at(-1)!], [10, 0, 1, 99]);
});

test('probes, strangers and other frames teach nothing', () => {
  const learner = new AddressLearner(MAC);
  learner.sent(arp([0, 0, 0, 0]));
  learner.sent(arp([10, 0, 0, 5], { mac: Uint8Array.of(2, 9, 9, 9, 9, 9) }));
  learner.sent(arp([10, 0, 0, 5], { operation: 8 }));
  learner.sent(arp([10, 0, 0, 5]).subarray(0, 20));
  const random = seededRandom('frames');
  for (let i = 0; i < 2000; i++) learner.sent(random.bytes(random.int(80)));
  assert.equal(learner.addresses, []);
});

test.run();

// What is learnt of the guest from the frames it sends: networks and addresses that are its own, and no others.
import { AddressLearner } from '../../../firmware/board/replication/guest-addresses.ts';
import { decodeHeard, encodeHeard } from '../../../firmware/board/replication/heard.ts';
import type { LineSettings } from '../../../firmware/host/serial/guest-lines.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';

const test = suite('board/replication/guest-addresses');
const MAC = Uint8Array.of(2, 1, 2, 3, 4, 5);
const OTHER = Uint8Array.of(2, 9, 9, 9, 9, 9);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bytes = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const LINK_LOCAL = bytes('fe80 0000 0000 0000 0001 02ff fe03 0405');
const GLOBAL = bytes('2001 0db8 0000 0000 0000 0000 0000 0007');
const SOLICITATION = 135;
const ADVERTISEMENT = 136;

/** ARP as RFC 826 has it, from the guest unless said otherwise. */
function arp(
  address: number[],
  { mac = MAC, operation = 1, from = MAC, tags = '' } = {},
): Uint8Array {
  const head = [...new Uint8Array(6).fill(0xff), ...from, ...bytes(tags)];
  const arp = [8, 6, 0, 1, 8, 0, 6, 4, 0, operation, ...mac, ...address, ...Buffer.alloc(6)];
  return Uint8Array.of(...head, ...arp, 10, 0, 0, 9, ...Buffer.alloc(18));
}

function ipv6(source: Uint8Array, { hops = 64, next = 17, payload = '', from = MAC, tags = '' }) {
  const data = bytes(payload);
  const head = Uint8Array.of(0x60, 0, 0, 0, 0, data.length, next, hops);
  const to = new Uint8Array(16).fill(0x20);
  return Uint8Array.of(
    ...OTHER,
    ...from,
    ...bytes(tags),
    0x86,
    0xdd,
    ...head,
    ...source,
    ...to,
    ...data,
  );
}

function discovery(type: number, source: Uint8Array, target: Uint8Array, flags = 0, hops = 255) {
  const flagBytes = flags.toString(16).padStart(2, '0');
  const payload = `${type.toString(16)}000000${flagBytes}000000${hex(target)}`;
  return ipv6(source, { hops, next: 58, payload });
}

const known = (learner: AddressLearner) =>
  learner.heard.map(({ tags, ipv4, ipv6 }) => ({
    tags: hex(tags),
    addresses: [...ipv4.map((address) => address.join('.')), ...ipv6.map(hex)],
  }));
const addresses = (learner: AddressLearner) => known(learner)[0]!.addresses;

test('IPv4 addresses are learnt from ARP, newest last, not more than a few', () => {
  const learner = new AddressLearner(MAC);
  learner.sent(arp([10, 0, 0, 2]));
  learner.sent(arp([10, 0, 0, 3], { operation: 2 }));
  learner.sent(arp([10, 0, 0, 2]));
  assert.equal(addresses(learner), ['10.0.0.3', '10.0.0.2']);
  for (let i = 0; i < 100; i++) learner.sent(arp([10, 0, 1, i]));
  assert.is(learner.heard[0]!.ipv4.length, 16);
  assert.equal([...learner.heard[0]!.ipv4.at(-1)!], [10, 0, 1, 99]);
});

test('each network is known by its tags as they were heard; a priority alone is no network', () => {
  const learner = new AddressLearner(MAC);
  learner.sent(arp([10, 7, 0, 2], { tags: '8100 0007' }));
  learner.sent(arp([10, 8, 0, 2], { tags: '88a8 0064 8100 0008' }));
  learner.sent(arp([10, 9, 0, 2], { tags: '9100 0065' }));
  // VLAN 0, and VLAN 7 at another priority.
  learner.sent(arp([10, 0, 0, 2], { tags: '8100 c000' }));
  learner.sent(arp([10, 7, 0, 3], { tags: '8100 a007' }));
  // Any frame shows that it is there.
  learner.sent(Uint8Array.of(...OTHER, ...MAC, 0x81, 0, 0, 9, 8, 0, 0x45, 0));
  assert.equal(known(learner), [
    { tags: '', addresses: ['10.0.0.2'] },
    { tags: '88a8006481000008', addresses: ['10.8.0.2'] },
    { tags: '91000065', addresses: ['10.9.0.2'] },
    { tags: '81000007', addresses: ['10.7.0.2', '10.7.0.3'] },
    { tags: '81000009', addresses: [] },
  ]);
  for (let vlan = 1; vlan < 200; vlan++) {
    learner.sent(arp([10, 7, 0, 2], { tags: `8100 ${vlan.toString(16).padStart(4, '0')}` }));
  }
  assert.is(learner.heard.length, 32);
  assert.equal(
    [learner.heard[0]!.tags.length, hex(learner.heard[31]!.tags)],
    [0, '810000c7'],
    'never without the untagged one',
  );
});

test('IPv6 addresses are learnt from neighbour discovery and from what the guest sends itself', () => {
  const other = bytes('2001 0db8 0000 0000 0000 0000 0000 0008');
  const learner = new AddressLearner(MAC);
  learner.sent(discovery(SOLICITATION, LINK_LOCAL, other));
  assert.equal(addresses(learner), [hex(LINK_LOCAL)], 'who is asked for is not the guest');
  learner.sent(discovery(ADVERTISEMENT, LINK_LOCAL, GLOBAL, 0x20));
  assert.equal(addresses(learner), [LINK_LOCAL, GLOBAL].map(hex));
  learner.sent(discovery(ADVERTISEMENT, LINK_LOCAL, other));
  assert.is(addresses(learner).length, 2, 'without override it speaks for others');
  learner.sent(ipv6(other, { hops: 128, tags: '8100 0007' }));
  assert.equal(known(learner)[1], { tags: '81000007', addresses: [hex(other)] });
  for (let i = 0; i < 100; i++)
    learner.sent(ipv6(Uint8Array.of(...GLOBAL.subarray(0, 15), i + 9), {}));
  assert.is(learner.heard[0]!.ipv6.length, 16);
});

test('what a router passes on, asks for or has not got yet is not its own', () => {
  const learner = new AddressLearner(MAC);
  learner.sent(ipv6(GLOBAL, { hops: 63 }));
  learner.sent(ipv6(GLOBAL, { hops: 254 }));
  learner.sent(ipv6(GLOBAL, { from: OTHER }));
  learner.sent(discovery(ADVERTISEMENT, GLOBAL, GLOBAL, 0x20, 254));
  // Is anybody there with it? (RFC 4862, 5.4.2)
  learner.sent(discovery(SOLICITATION, new Uint8Array(16), GLOBAL));
  learner.sent(ipv6(bytes('ff02 0000 0000 0000 0000 0000 0000 0001'), {}));
  assert.equal(addresses(learner), []);
  assert.is(learner.heard[0]!.isRouter, false);
  learner.sent(discovery(134, LINK_LOCAL, GLOBAL));
  assert.is(learner.heard[0]!.isRouter, true);
  learner.sent(discovery(ADVERTISEMENT, LINK_LOCAL, LINK_LOCAL, 0x20));
  assert.is(learner.heard[0]!.isRouter, false);
  learner.sent(discovery(ADVERTISEMENT, LINK_LOCAL, LINK_LOCAL, 0xa0));
  assert.is(learner.heard[0]!.isRouter, true);
});

test('probes, strangers and other frames teach nothing', () => {
  const learner = new AddressLearner(MAC);
  learner.sent(arp([0, 0, 0, 0]));
  learner.sent(arp([10, 0, 0, 5], { mac: OTHER }));
  learner.sent(arp([10, 0, 0, 5], { from: OTHER, tags: '8100 0007' }));
  learner.sent(arp([10, 0, 0, 5], { operation: 8 }));
  learner.sent(arp([10, 0, 0, 5]).subarray(0, 20));
  for (let length = 0; length < 40; length++) {
    learner.sent(arp([10, 0, 0, 5]).subarray(0, length));
    learner.sent(ipv6(GLOBAL, {}).subarray(0, length));
  }
  const random = seededRandom('frames');
  for (let i = 0; i < 2000; i++) learner.sent(random.bytes(random.int(80)));
  assert.equal(known(learner), [{ tags: '', addresses: [] }]);
});

test('cut behind any byte, a frame with tags does not throw', () => {
  const learner = new AddressLearner(MAC);
  const whole = [
    arp([10, 0, 0, 5], { tags: '88a8 0064 8100 0008' }),
    ipv6(GLOBAL, {
      hops: 255,
      next: 58,
      tags: '8100 0008',
      payload: `8800000020000000${hex(GLOBAL)}`,
    }),
  ];
  for (const frame of whole) {
    for (let length = 0; length < frame.length; length++) learner.sent(frame.subarray(0, length));
  }
  assert.ok(learner.heard.length <= 3);
});

/** As a guest sets a line for a bus. */
const LINE: LineSettings = {
  ...{ kind: 'serial-line', port: 'com2', baud: 57_600, dataBits: 7, parity: 'even', stopBits: 2 },
  ...{ sendBreak: false, dtr: true, rts: false },
};

test('another board learns it too: bytes there and back, merged with what it heard itself', () => {
  const [leader, follower] = [new AddressLearner(MAC), new AddressLearner(MAC)];
  leader.sent(arp([10, 0, 0, 2]));
  leader.sent(arp([10, 7, 0, 2], { tags: '8100 0007' }));
  leader.sent(ipv6(GLOBAL, { tags: '8100 0007' }));
  follower.sent(arp([10, 0, 0, 3]));
  const heard = decodeHeard(encodeHeard({ cards: [leader.heard, []], lines: [LINE] }));
  assert.is(heard?.cards.length, 2);
  assert.equal(heard?.lines, [LINE]);
  follower.merge(heard!.cards[0]!);
  assert.equal(known(follower), [
    { tags: '', addresses: ['10.0.0.2', '10.0.0.3'] },
    { tags: '81000007', addresses: ['10.7.0.2', hex(GLOBAL)] },
  ]);
  follower.forget();
  assert.equal(known(follower), [{ tags: '', addresses: [] }]);
});

test('damaged bytes of a peer are refused, never thrown', () => {
  const learner = new AddressLearner(MAC);
  learner.sent(ipv6(GLOBAL, { tags: '8100 0007' }));
  const whole = encodeHeard({ cards: [learner.heard], lines: [LINE] });
  const random = seededRandom('damage');
  for (let i = 0; i < 5000; i++) {
    const damaged = whole.slice(0, 1 + random.int(whole.length));
    damaged[random.int(damaged.length)] = random.u32();
    const heard = decodeHeard(damaged);
    for (const networks of heard?.cards ?? []) new AddressLearner(MAC).merge(networks);
  }
  const network = { tags: new Uint8Array(0), ipv4: [], ipv6: [new Uint8Array(4)], isRouter: false };
  assert.is(decodeHeard(encodeHeard({ cards: [[network]], lines: [] })), null);
  for (const wrong of [
    { dataBits: 9 },
    { baud: 0 },
    { parity: 'no' },
    { port: 'com3' },
    { dtr: 1 },
  ])
    assert.is(
      decodeHeard(encodeHeard({ cards: [], lines: [{ ...LINE, ...wrong } as never] })),
      null,
    );
});

test.run();

// Frames in the guest's name, byte by byte, in every network it was heard in.
import { announcements } from '../../../firmware/board/replication/announce.ts';
import { assert, suite } from '../../harness/index.ts';

const test = suite('board/replication/announce');
const MAC = Uint8Array.of(2, 1, 2, 3, 4, 5);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bytes = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const untagged = { tags: new Uint8Array(0), ipv4: [], ipv6: [], isRouter: false };

test('a switch hears RARP, neighbours hear gratuitous ARP', () => {
  const ipv4 = [Uint8Array.of(10, 0, 0, 2), Uint8Array.of(192, 168, 7, 8)];
  const [rarp, first, second, ...none] = announcements(MAC, [{ ...untagged, ipv4 }]);
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

test('neighbours of IPv6 hear an unsolicited advertisement to all nodes, with override', () => {
  // The guest's address fe80::1:2ff:fe03:405; the sum comes from another program.
  const address = bytes('fe80 0000 0000 0000 0001 02ff fe03 0405');
  const [, frame, ...none] = announcements(MAC, [{ ...untagged, ipv6: [address] }]);
  assert.is(none.length, 0);
  const allNodes = 'ff020000000000000000000000000001';
  assert.is(
    hex(frame!),
    `333300000001${hex(MAC)}86dd${'6000000000203aff'}${hex(address)}${allNodes}` +
      `88004783${'20000000'}${hex(address)}0201${hex(MAC)}`,
  );
  const [, router] = announcements(MAC, [{ ...untagged, ipv6: [address], isRouter: true }]);
  assert.is(router![58], 0xa0, 'a router that said it is none would lose its part as a gateway');
  for (const made of [frame!, router!]) assert.is(icmpSum(made.subarray(14)), 0xffff);
});

test('all of it goes out in each network with the tags of that network', () => {
  const vlan = { ...untagged, tags: bytes('8100 0007'), ipv4: [Uint8Array.of(10, 7, 0, 2)] };
  const stacked = {
    ...{ ...untagged, tags: bytes('88a8 0064 8100 2007') },
    ipv6: [bytes('fd00 0000 0000 0000 0000 0000 0000 0002')],
  };
  const frames = announcements(MAC, [untagged, vlan, stacked]).map(hex);
  assert.is(frames.length, 5);
  const types = frames.map((frame) => frame.slice(24, 44));
  assert.ok(types[0]!.startsWith('8035'));
  assert.ok(types[1]!.startsWith('81000007' + '8035'));
  assert.ok(types[2]!.startsWith('81000007' + '0806'));
  assert.ok(types[3]!.startsWith('88a80064' + '81002007' + '8035'));
  assert.ok(types[4]!.startsWith('88a80064' + '81002007' + '86dd'));
  assert.is(frames[1]!.length / 2, 64, 'long enough also without its tag');
  assert.ok(icmpSum(bytes(frames[4]!).subarray(22)) === 0xffff);
});

/** Of an IPv6 packet: its pseudo header and what follows, added up (RFC 4443); right when all ones. */
function icmpSum(packet: Uint8Array): number {
  const buffer = Buffer.from(packet);
  let sum = buffer.readUInt16BE(4) + 58;
  for (let at = 8; at < 40 + buffer.readUInt16BE(4); at += 2) sum += buffer.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

test.run();

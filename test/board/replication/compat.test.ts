// Every reason to refuse a board, one by one and all at once; and what cannot be read.
import {
  type BoardFacts,
  encodeFacts,
  refusals,
} from '../../../firmware/board/replication/compat.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';

const test = suite('board/replication/compat');

const OURS: BoardFacts = {
  messagesVersion: 1,
  firmwareVersion: '1.2.3',
  engine: 'soft',
  cpuModel: 'model',
  memoryBytes: 1 << 28,
  commandLine: 'quiet',
  kernel: Uint8Array.of(0xaa),
  initrd: Uint8Array.of(0xbb),
  disks: [
    { bytes: 1 << 30, isReadOnly: false },
    { bytes: 1 << 20, isReadOnly: true },
  ],
  macs: [Uint8Array.of(2, 0, 0, 0, 0, 1)],
  hasConsole: false,
  restartsOn: ['reset'],
};

const OTHERS: readonly [Partial<BoardFacts>, RegExp][] = [
  [{ messagesVersion: 2 }, /sync-up protocol: the leader has 1, the target 2/],
  [{ firmwareVersion: '1.2.4' }, /firmware version: the leader has 1\.2\.3, the target 1\.2\.4/],
  [{ engine: 'vtx' }, /engine/],
  [{ cpuModel: 'other' }, /CPU model/],
  [{ memoryBytes: 1 << 27 }, /guest memory/],
  [{ commandLine: 'loud' }, /command line/],
  [{ kernel: Uint8Array.of(0xab) }, /kernel file: the leader has aa, the target ab/],
  [{ initrd: null }, /initrd file: the leader has bb, the target none/],
  [{ disks: [] }, /number of disks: the leader has 2, the target 0/],
  [{ disks: [{ bytes: 512, isReadOnly: false }, OURS.disks[1]!] }, /size of disk 0/],
  [{ disks: [OURS.disks[0]!, { bytes: 1 << 20, isReadOnly: false }] }, /disk 1: read-only/],
  [{ macs: [] }, /network cards/],
  [{ hasConsole: true }, /console/],
  [{ restartsOn: ['reset', 'off'] }, /restarts the guest/],
];

test('facts travel as they always have', () => {
  const facts = { ...OURS, initrd: null, disks: OURS.disks.slice(1) };
  const bytes = `
    090c 0b636f6d6d616e644c696e65 06057175696574 086370754d6f64656c 06056d6f64656c
    056469736b73 0801 0902 056279746573 030000000000003041 0a6973526561644f6e6c79 02
    06656e67696e65 0604736f6674 0f6669726d7761726556657273696f6e 0605312e322e33
    0a686173436f6e736f6c65 01 06696e69747264 0600 066b65726e656c 06026161
    046d616373 0801 060c303230303030303030303031 0b6d656d6f72794279746573 03000000000000b041
    0f6d6573736167657356657273696f6e 03000000000000f03f
    0a72657374617274734f6e 0801 06057265736574`;
  assert.is(Buffer.from(encodeFacts(facts)).toString('hex'), bytes.replaceAll(/\s/g, ''));
});

test('an equal board is not refused', () => {
  assert.equal(refusals(encodeFacts(OURS), OURS), []);
});

test('each difference is a reason, in words', () => {
  for (const [difference, words] of OTHERS) {
    const reasons = refusals(encodeFacts({ ...OURS, ...difference }), OURS);
    assert.is(reasons.length, 1, JSON.stringify(difference));
    assert.match(reasons[0]!, words);
  }
});

test('all reasons are told at once', () => {
  const other = { ...OURS, engine: 'vtx', kernel: new Uint8Array(1), macs: [], disks: [] };
  assert.is(refusals(encodeFacts(other), OURS).length, 4);
});

test('facts that cannot be read are a reason and nothing worse', () => {
  const random = seededRandom('facts');
  const good = encodeFacts(OURS);
  for (let i = 0; i < 3000; i++) {
    const bytes = random.chance(0.5) ? random.bytes(random.int(60)) : good.slice();
    if (bytes.length > 0) bytes[random.int(bytes.length)]! ^= 1 << random.int(8);
    assert.ok(refusals(bytes.subarray(0, random.int(bytes.length + 1)), OURS).length > 0 || true);
  }
  assert.match(refusals(new Uint8Array(0), OURS)[0]!, /cannot be read/);
  const odd = { ...OURS, disks: 'none' } as unknown as BoardFacts;
  assert.match(refusals(encodeFacts(odd), OURS)[0]!, /does not say/);
});

test.run();

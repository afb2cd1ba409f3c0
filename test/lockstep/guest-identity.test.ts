// What a log is of: its bytes in the head of a file, and the words for what differs.
import {
  GUEST_PROPERTIES,
  identityDifferences,
  identityFrom,
  identityState,
  type MachineIdentity,
  propertiesAt,
} from '../../firmware/lockstep/guest-identity.ts';
import { encodeState } from '../../firmware/lockstep/state-codec.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('lockstep/guest-identity');

const RECORDED: MachineIdentity = {
  firmwareVersion: '1.2.3',
  engine: 'soft',
  cpuModel: 'model',
  memoryBytes: 1 << 28,
  epochSeconds: 1_700_000_000,
  entropySeed: Uint8Array.of(1, 2),
  multiplier: 10n << 32n,
  commandLine: 'quiet',
  kernel: Uint8Array.of(0xaa),
  initrd: null,
  disks: [{ bytes: 1 << 20, sha256: Uint8Array.of(0xcc), isReadOnly: true }],
  macs: [Uint8Array.of(2, 0, 0, 0, 0, 1)],
  hasConsole: false,
};

const OTHERS: readonly [Partial<MachineIdentity>, string][] = [
  [{ firmwareVersion: '1' }, 'firmware version: recorded with 1.2.3, here it is 1'],
  [{ engine: 'vtx-steps' }, 'engine: recorded with soft, here it is vtx-steps'],
  [{ cpuModel: 'other' }, 'CPU model: recorded with model, here it is other'],
  [{ memoryBytes: 1 << 27 }, 'guest memory: recorded with 268435456, here it is 134217728'],
  [{ epochSeconds: 0 }, 'start time: recorded with 1700000000, here it is 0'],
  [{ entropySeed: new Uint8Array(2) }, 'entropy seed: recorded with 0102, here it is 0000'],
  [{ multiplier: 1n }, 'initial clock rate: recorded with 42949672960, here it is 1'],
  [{ commandLine: '' }, 'kernel command line: recorded with quiet, here it is none'],
  [{ kernel: Uint8Array.of(0xab) }, 'kernel file: recorded with aa, here it is ab'],
  [{ initrd: Uint8Array.of(0xbb) }, 'initrd file: recorded with none, here it is bb'],
  [{ disks: [] }, 'disk 0: recorded with 1048576 bytes, read-only, cc, here it is none'],
  [{ macs: [] }, 'network cards: recorded with 020000000001, here it is none'],
  [{ hasConsole: true }, 'virtio console: recorded with none, here it is one'],
];

test('the head of a file keeps its bytes', () => {
  const bytes = `
    090d 0b636f6d6d616e644c696e65 06057175696574 086370754d6f64656c 06056d6f64656c
    056469736b73 0801 0903 056279746573 030000000000003041 0a6973526561644f6e6c79 02
    06736861323536 0701cc 06656e67696e65 0604736f6674 0b656e74726f707953656564 07020102
    0c65706f63685365636f6e6473 0300000040fc54d941 0f6669726d7761726556657273696f6e 0605312e322e33
    0a686173436f6e736f6c65 01 06696e69747264 00 066b65726e656c 0701aa
    046d616373 0801 0706020000000001 0b6d656d6f72794279746573 03000000000000b041
    0a6d756c7469706c696572 0480808080a001`;
  const state = identityState(RECORDED);
  assert.is(Buffer.from(encodeState(state)).toString('hex'), bytes.replaceAll(/\s/g, ''));
  assert.equal(identityFrom(state), RECORDED);
  const { multiplier, ...rest } = state;
  assert.is(identityFrom(rest), undefined, `without ${multiplier}`);
});

test('every property that counts at a replay is compared, in its words', () => {
  assert.equal(identityDifferences(RECORDED, RECORDED), []);
  for (const [difference, words] of OTHERS) {
    assert.equal(identityDifferences(RECORDED, { ...RECORDED, ...difference }), [words]);
  }
  const tried = OTHERS.flatMap(([difference]) => Object.keys(difference)).sort();
  assert.equal(tried, propertiesAt('replay').sort());
});

test('every property counts somewhere, and has words of its own', () => {
  const properties = Object.values(GUEST_PROPERTIES);
  assert.ok(properties.every(({ counts }) => counts.length > 0));
  assert.is(new Set(properties.map(({ words }) => words)).size, properties.length);
});

test.run();

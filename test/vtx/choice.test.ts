// Which engine a board takes, and what doctor says about it, for every kind of host.
import { checkEngine } from '../../firmware/cli/doctor-checks.ts';
import { chooseEngine } from '../../firmware/host/engines.ts';
import { type KvmProbe, probeKvm } from '../../native/index.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('vtx/choice');

const host = (known: Partial<KvmProbe>) => (): KvmProbe => ({
  isUsable: true,
  isLimited: false,
  tellsTsc: true,
  countsBranches: true,
  words: ['as found'],
  ...known,
});

const HOSTS = {
  whole: host({}),
  unpatched: host({ tellsTsc: false }),
  'without counter': host({ countsBranches: false, tellsTsc: false }),
  limited: host({ isLimited: true }),
  none: host({ isUsable: false, words: ['/dev/kvm does not open: No such file or directory'] }),
} as const;

const hits = () => undefined;
const misses = () => 'landing 7: at 12, not 11';

test('auto takes hardware only where it is exact', () => {
  const kinds = Object.entries(HOSTS).map(([name, probe]) => [
    name,
    chooseEngine('auto', probe, hits).kind,
  ]);
  assert.equal(kinds, [
    ['whole', 'vtx-branches'],
    ['unpatched', 'soft'],
    ['without counter', 'soft'],
    ['limited', 'soft'],
    ['none', 'soft'],
  ]);
});

test('who asks for hardware gets it or is told why not', () => {
  assert.is(chooseEngine('vtx', HOSTS.whole, hits).kind, 'vtx-branches');
  assert.is(chooseEngine('vtx', HOSTS.unpatched, hits).kind, 'vtx-branches');
  assert.is(chooseEngine('vtx-exits', HOSTS['without counter']).kind, 'vtx-exits');
  assert.is(chooseEngine('vtx-steps', HOSTS.limited).kind, 'vtx-steps');
  assert.throws(
    () => chooseEngine('vtx', HOSTS['without counter']),
    /not exact here \(as found\); --engine vtx-exits/,
  );
  assert.throws(() => chooseEngine('vtx-exits', HOSTS.none), /no hardware engine here: \/dev\/kvm/);
  const mustNotAsk = () => assert.unreachable('the software engine needs no probe');
  assert.is(chooseEngine('soft', mustNotAsk as never).kind, 'soft');
});

test('a processor that misses once does not get the guest', () => {
  const { kind, why } = chooseEngine('auto', HOSTS.whole, misses);
  assert.is(kind, 'soft');
  assert.match(why, /^landing 7: at 12, not 11; as found$/);
  assert.throws(
    () => chooseEngine('vtx', HOSTS.whole, misses),
    /misses where it should land: land/,
  );
});

test('doctor says which engine, and why', () => {
  const found = Object.values(HOSTS).map((probe) => checkEngine(probe));
  assert.equal(
    found.map(({ verdict }) => verdict),
    ['ok', 'warn', 'warn', 'warn', 'ok'],
  );
  assert.match(found[0]?.found ?? '', /^hardware, exact: as found$/);
  assert.match(found[1]?.todo ?? '', /kvm modules with our patch/);
  assert.match(found[2]?.found ?? '', /--engine vtx-exits/);
  assert.match(found[4]?.found ?? '', /^software, .*no hardware engine: \/dev\/kvm/);
});

test('this host, whatever it is, is described and not crashed on', () => {
  const found = probeKvm();
  assert.ok(found.words.length > 0);
  assert.ok(found.isUsable || !found.isLimited);
  assert.ok(probeKvm(true).words.length > 0);
});

test.run();

// Which engine a board takes, and what doctor says about it, for every kind of host. /sys comes from a
// folder of the test.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkEngine } from '../../firmware/cli/doctor-engine.ts';
import { chooseEngine } from '../../firmware/host/engines.ts';
import { linuxNeeds } from '../../firmware/host/exact-linux.ts';
import { type KvmProbe, probeKvm } from '../../native/index.ts';
import { assert, repoPath, suite } from '../harness/index.ts';

const test = suite('vtx/choice');

/** Parameters of modules as the kernel shows them. */
type Parameters = Readonly<Record<string, string>>;
const INTEL = { 'kvm_intel/parameters/ept': 'N' };

/** A /sys with these modules, for as long as `body` takes. */
function withSys<T>(parameters: Parameters, body: (sys: string) => T): T {
  const sys = mkdtempSync(join(tmpdir(), 'twinstep-sys-'));
  try {
    for (const [name, value] of Object.entries(parameters)) {
      const file = join(sys, 'module', name);
      mkdirSync(join(file, '..'), { recursive: true });
      writeFileSync(file, `${value}\n`);
    }
    return body(sys);
  } finally {
    rmSync(sys, { recursive: true });
  }
}

const host = (known: Partial<KvmProbe>) => (): KvmProbe => ({
  isUsable: true,
  isLimited: false,
  tellsTsc: true,
  tablesFollow: true,
  countsBranches: true,
  words: ['as found'],
  ...known,
});

const HOSTS = {
  whole: host({}),
  unpatched: host({ tellsTsc: false, tablesFollow: false }),
  'without counter': host({ countsBranches: false, tellsTsc: false }),
  limited: host({ isLimited: true }),
  none: host({ isUsable: false, words: ['/dev/kvm does not open: No such file or directory'] }),
} as const;

const hits = () => undefined;
const misses = () => 'landing 7: at 12, not 11';

test('auto takes hardware only where it is exact', () => {
  const choose = (parameters: Parameters) =>
    Object.entries(HOSTS).map(([name, probe]) => [
      name,
      withSys(parameters, (sys) => chooseEngine('auto', probe, hits, sys)).kind,
    ]);
  assert.equal(choose(INTEL), [
    ['whole', 'vtx-branches'],
    ['unpatched', 'soft'],
    ['without counter', 'soft'],
    ['limited', 'soft'],
    ['none', 'soft'],
  ]);
  const nested = choose({ 'kvm_intel/parameters/ept': 'Y' });
  assert.ok(nested.every(([, kind]) => kind === 'soft'));
});

const WHOLE = { tellsTsc: true, tablesFollow: true, countsBranches: true };

test('page tables are read back from the module that is loaded, never assumed', () => {
  const look = (parameters: Parameters, known = WHOLE) =>
    withSys(
      parameters,
      (sys) => linuxNeeds(known, sys).find(({ area }) => area === 'page tables')!,
    );
  for (const shadow of [
    INTEL,
    { 'kvm_intel/parameters/ept': '0' },
    { 'kvm_amd/parameters/npt': '0' },
    { 'kvm_amd/parameters/npt': 'N' },
  ]) {
    const { isMet, found, todo } = look(shadow);
    assert.equal({ isMet, todo }, { isMet: true, todo: '' });
    assert.match(found, /^shadow page tables \(kvm_(intel ept|amd npt)=[N0]\) that follow the gu/);
  }
  const stock = look(INTEL, { ...WHOLE, tablesFollow: false });
  assert.is(stock.isMet, false);
  assert.match(stock.found, /^shadow page tables .* that may be behind the guest’s$/);
  assert.match(stock.todo, /kvm modules with our patches/);
  const intel = look({ 'kvm_intel/parameters/ept': 'Y' });
  assert.is(intel.isMet, false);
  assert.match(intel.found, /^nested paging \(kvm_intel ept=Y\)/);
  assert.match(intel.todo, /modprobe kvm_intel ept=0$/);
  const amd = look({ 'kvm_amd/parameters/npt': '1' });
  assert.is(amd.isMet, false);
  assert.match(amd.todo, /modprobe kvm_amd npt=0$/);
  assert.is(look({ ...INTEL, 'kvm_amd/parameters/npt': 'Y' }).isMet, false, 'one of two is nested');
  assert.match(look({ 'kvm_intel/parameters/ept': '' }).found, /^page tables of an unknown kind/);
  const none = look({});
  assert.is(none.isMet, false);
  assert.match(none.found, /^no KVM module tells how/);
});

test('what the appliance loads its modules with is what is asked for', () => {
  const text = readFileSync(
    repoPath('buildroot/board/twinstep/rootfs-overlay/etc/modprobe.d/kvm.conf'),
    'utf8',
  );
  const options = [...text.matchAll(/^options (\w+) (\w+)=(\w+)$/gm)];
  assert.equal(
    options.map(([, module]) => module),
    ['kvm_intel', 'kvm_amd'],
  );
  for (const [, module, parameter, value] of options) {
    const loaded = { [`${module}/parameters/${parameter}`]: value! };
    const needs = withSys(loaded, (sys) => linuxNeeds(WHOLE, sys));
    assert.ok(
      needs.every(({ isMet }) => isMet),
      `${module} ${parameter}=${value}`,
    );
  }
});

test('a stock KVM is not exact for Linux, and is told so by each thing it lacks', () => {
  const stock = withSys({ 'kvm_intel/parameters/ept': 'Y' }, (sys) => {
    const { kind, why } = chooseEngine('vtx', HOSTS.unpatched, hits, sys);
    assert.is(kind, 'vtx-branches');
    assert.match(
      why,
      /^as found; not exact for Linux: RDTSC tells the host’s time, .*; nested paging \(kvm_intel ept=Y\)/,
    );
    return chooseEngine('vtx-exits', host({ tellsTsc: false, countsBranches: false }), hits, sys);
  });
  assert.match(stock.why, /not exact for Linux: RDTSC .*; nested paging/);
  assert.ok(!stock.why.includes('no branches'), 'at exits nobody counts any');
  const exact = withSys(INTEL, (sys) => chooseEngine('vtx-exits', HOSTS.whole, hits, sys));
  assert.is(exact.why, 'as found');
});

test('who asks for hardware gets it or is told why not', () => {
  withSys(INTEL, (sys) => {
    assert.is(chooseEngine('vtx', HOSTS.whole, hits, sys).kind, 'vtx-branches');
    assert.is(chooseEngine('vtx', HOSTS.unpatched, hits, sys).kind, 'vtx-branches');
    assert.is(chooseEngine('vtx-exits', HOSTS['without counter'], hits, sys).kind, 'vtx-exits');
    assert.is(chooseEngine('vtx-steps', HOSTS.limited, hits, sys).kind, 'vtx-steps');
    assert.throws(
      () => chooseEngine('vtx', HOSTS['without counter'], hits, sys),
      /not exact here \(as found\); --engine vtx-exits/,
    );
    assert.throws(
      () => chooseEngine('vtx-exits', HOSTS.none, hits, sys),
      /no hardware engine here: \/dev\/kvm/,
    );
    const mustNotAsk = () => assert.unreachable('the software engine needs no probe');
    assert.is(chooseEngine('soft', mustNotAsk as never).kind, 'soft');
  });
});

test('a processor that misses once does not get the guest', () => {
  withSys(INTEL, (sys) => {
    const { kind, why } = chooseEngine('auto', HOSTS.whole, misses, sys);
    assert.is(kind, 'soft');
    assert.match(why, /^landing 7: at 12, not 11; as found$/);
    assert.throws(
      () => chooseEngine('vtx', HOSTS.whole, misses, sys),
      /misses where it should land: land/,
    );
  });
});

test('doctor says which engine, and each thing that is missing', () => {
  const found = withSys(INTEL, (sys) =>
    Object.values(HOSTS).map((probe) => checkEngine(sys, probe)),
  );
  assert.equal(
    found.map((findings) => findings.map(({ verdict }) => verdict)),
    [
      ['ok', 'ok', 'ok', 'ok'],
      ['warn', 'warn', 'warn', 'ok'],
      ['warn', 'warn', 'ok', 'warn'],
      ['warn', 'ok', 'ok', 'ok'],
      ['ok'],
    ],
  );
  assert.match(found[0]?.[0]?.found ?? '', /^hardware, exact: as found$/);
  assert.match(
    found[1]?.[0]?.found ?? '',
    /not exact for Linux: guest time, page tables \(below\)/,
  );
  assert.match(found[1]?.[1]?.todo ?? '', /kvm modules with our patches/);
  assert.match(found[2]?.[3]?.todo ?? '', /--engine vtx-exits/);
  assert.match(found[4]?.[0]?.found ?? '', /^software, .*no hardware engine: \/dev\/kvm/);
  const nested = withSys({ 'kvm_amd/parameters/npt': 'Y' }, (sys) => checkEngine(sys, HOSTS.whole));
  assert.equal(
    nested.map(({ area, verdict }) => `${area}: ${verdict}`),
    ['engine: warn', 'guest time: ok', 'page tables: warn', 'positions: ok'],
  );
});

test('this host, whatever it is, is described and not crashed on', () => {
  const found = probeKvm();
  assert.ok(found.words.length > 0);
  assert.ok(found.isUsable || !found.isLimited);
  assert.ok(probeKvm(true).words.length > 0);
  assert.is(linuxNeeds(found).length, 3);
});

test.run();

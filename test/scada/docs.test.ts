// docs/scada.md names a test for each assertion, and every metric: both are there.
import { readFileSync } from 'node:fs';
import type { Status } from '../../firmware/board/status.ts';
import { shown } from '../../firmware/scada/plain-status.ts';
import { snapshotOf } from '../../firmware/scada/snapshot.ts';
import { healthyStatus } from '../board/alarms/statuses.ts';
import { assert, repoPath, suite } from '../harness/index.ts';

const test = suite('scada/docs');
const page = readFileSync(repoPath('docs/scada.md'), 'utf8');

test('every test that is named exists', () => {
  const named = [...page.matchAll(/^\|.*\| `(scada\/[a-z-]+)`: (.+) \|$/gm)];
  assert.ok(named.length >= 10, `${named.length} rows`);
  for (const [, file, name] of named) {
    const source = readFileSync(repoPath(`test/${file}.test.ts`), 'utf8');
    const found = [...source.matchAll(/\btest\(\s*'([^']+)'/g)].some(([, one]) => one === name);
    assert.ok(found, `${file}: ${name}`);
  }
});

test('every metric is explained', () => {
  const status = {
    ...{ role: 'protected', pairState: 'RUN-Redundant', why: '', sinceMs: 0, generation: 1 },
    board: { name: '', side: 'a', boot: 1 },
    safeToRemove: { ok: false, why: '' },
    redundancy: { words: '', faults: [] },
    watchdog: { kind: 'none', armed: false },
    health: { ok: true, words: [] },
    versions: { firmware: '' },
    paths: { log: { state: '' }, serial: { state: '' }, front: { state: '' } },
    ...{ witness: { answers: true }, link: { up: true, paths: [] }, lagMs: 0, logKbps: 0 },
    sync: { phase: 'none', percent: 0, etaS: null, refusals: [] },
    check: { lastAtMs: null, lastDiffering: null },
    ...{ alarms: [], gate: { mode: 'open' }, lastTakeover: null, peer: null },
    ...{
      guest: { state: 'leading', lives: 1, clock: {}, engine: { kind: 'soft', why: '' } },
      disks: [],
    },
  } as unknown as Status;
  const { node, device = [] } = snapshotOf(status, { wallMs: 0 });
  // Plain facts need no words beyond their name.
  const plain = /^(Board\/(Name|Side|Starts|Firmware|Safe To Remove Reason)|Paths\/Log Link Up)$/;
  for (const { name } of [...node, ...device]) {
    if (!plain.test(name)) assert.ok(page.includes(`\`${name}\``), name);
  }
});

test('what runs the guest is told, and why that', () => {
  const healthy = healthyStatus();
  const engine = { kind: 'vtx-branches', why: 'branches are counted' } as const;
  const status = { ...healthy, guest: { ...healthy.guest, engine } };
  const { device = [] } = snapshotOf(status, { wallMs: 0 });
  const metric = (wanted: string) => device.find(({ name }) => name === wanted)?.value;
  const { guestEngine, guestEngineWhy } = shown(status);
  assert.equal(
    [metric('Guest/Engine'), metric('Guest/Engine Why'), guestEngine, guestEngineWhy],
    ['hardware, exact', 'branches are counted', 'hardware, exact', 'branches are counted'],
  );
});

test.run();

// The role record: what survives power loss, and that no damaged file ever leads to a stale start.
// Real files, really cut, flipped, swapped and lost.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Standing } from '../../watchdog/arbiter-types.ts';
import { decodeCopy, encodeCopy, RoleRecordStore } from '../../watchdog/role-record-store.ts';
import { assert, repoPath, seededRandom, suite } from '../harness/index.ts';

const test = suite('watchdog/role-record-store');
const CLOCK = 1_800_000_000;
let folder = '';
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-store-'));
});
test.after.each(() => rmSync(folder, { recursive: true, force: true }));

const path = (copy: 0 | 1) => join(folder, `role-record.${copy}`);

function filled(standing: Standing): RoleRecordStore {
  const store = new RoleRecordStore(folder);
  store.load(CLOCK);
  store.write({ generation: 4, standing: 'shared' });
  store.write({ generation: 5, standing });
  return store;
}

test('a new board knows nothing, counts starts, and remembers what was written last', () => {
  const store = new RoleRecordStore(folder);
  const first = store.load(CLOCK);
  assert.equal(first.record, { generation: 0, standing: 'unknown' });
  assert.is(first.boot, CLOCK, 'no count to go on from: the wall clock is above all old ones');
  store.write({ generation: 1, standing: 'sole' });
  for (let start = 1; start <= 5; start++) {
    const again = new RoleRecordStore(folder).load(CLOCK + 1000);
    assert.equal(again.record, { generation: 1, standing: 'sole' });
    assert.is(again.boot, CLOCK + start);
    assert.is(again.trouble, null);
  }
  assert.equal(
    readdirSync(folder).sort(),
    ['role-record.0', 'role-record.1'],
    'no temporary file is left',
  );
});

test('each write touches one copy, and the other still holds the one before', () => {
  filled('sole');
  const [one, two] = [
    decodeCopy(readFileSync(path(0), 'latin1')),
    decodeCopy(readFileSync(path(1), 'latin1')),
  ];
  assert.is(Math.abs((one?.serial ?? 0) - (two?.serial ?? 0)), 1);
  assert.equal([one?.record.standing, two?.record.standing].sort(), ['shared', 'sole']);
});

test('a copy cut at any length or with any bit flipped is damaged, never another record', () => {
  const text = encodeCopy({ serial: 12, boot: 3, record: { generation: 4, standing: 'sole' } });
  assert.ok(decodeCopy(text) !== null);
  for (let length = 0; length < text.length; length++)
    assert.is(decodeCopy(text.slice(0, length)), null);
  for (let bit = 0; bit < text.length * 8; bit++) {
    const bytes = Buffer.from(text, 'latin1');
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.is(decodeCopy(bytes.toString('latin1')), null, `bit ${bit}`);
  }
  assert.is(decodeCopy(text.replace('generation 4', 'generation 9')), null, 'edited by hand');
  assert.is(decodeCopy(`${text} `), null);
});

test('either copy damaged, missing or unreadable: never a standing that leads', () => {
  const random = seededRandom('damage');
  const damages: ((file: string) => void)[] = [
    (file) => writeFileSync(file, ''),
    (file) => writeFileSync(file, readFileSync(file).subarray(0, 40)),
    (file) => writeFileSync(file, random.bytes(500)),
    (file) => writeFileSync(file, Buffer.alloc(4096)),
    (file) => rmSync(file),
  ];
  for (const standing of ['sole', 'shared', 'behind'] as const) {
    for (const copy of [0, 1] as const) {
      for (const damage of damages) {
        rmSync(folder, { recursive: true, force: true });
        filled(standing);
        damage(path(copy));
        const loaded = new RoleRecordStore(folder).load(CLOCK + 50);
        assert.ok(
          ['behind', 'unknown'].includes(loaded.record.standing),
          `${standing} copy ${copy}`,
        );
        assert.match(loaded.trouble ?? '', /damaged/);
        assert.ok(loaded.boot > CLOCK + 1, 'the boot count never falls');
        assert.equal(new RoleRecordStore(folder).peek().copies, ['good', 'good'], 'and is mended');
      }
    }
  }
});

test('both copies damaged: unknown, and said so', () => {
  filled('sole');
  for (const copy of [0, 1] as const) writeFileSync(path(copy), 'rubbish');
  const loaded = new RoleRecordStore(folder).peek();
  assert.is(loaded.record.standing, 'unknown');
  assert.match(loaded.trouble ?? '', /both copies/);
});

test('an old copy put in the place of the newer one is seen by its number', () => {
  const store = filled('shared');
  const old = [readFileSync(path(0)), readFileSync(path(1))] as const;
  store.write({ generation: 6, standing: 'behind' });
  const newest = store.peek().serial % 2;
  writeFileSync(path(newest as 0 | 1), old[newest as 0 | 1] as Buffer);
  // Both copies are good; the numbers are two apart the wrong way round, so the other one counts.
  assert.is(new RoleRecordStore(folder).peek().record.standing, 'shared');
  renameSync(path(0), join(folder, 'gone'));
  assert.is(new RoleRecordStore(folder).peek().record.standing, 'unknown');
});

test(
  'killed at random moments while writing, it always holds a record that was written',
  () => {
    const random = seededRandom('kill');
    const module = pathToFileURL(repoPath('dist/watchdog/role-record-store.js')).href;
    const script = `
    const { RoleRecordStore } = await import(${JSON.stringify(module)});
    const store = new RoleRecordStore(${JSON.stringify(folder)});
    store.load(1);
    for (let n = 1; ; n++) {
      process.stdout.write(n + '\\n');
      store.write({ generation: n, standing: n % 2 ? 'sole' : 'shared' });
    }`;
    for (let round = 0; round < 6; round++) {
      rmSync(folder, { recursive: true, force: true });
      const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
        timeout: 250 + random.int(120),
        killSignal: 'SIGKILL',
        encoding: 'utf8',
      });
      const begun = Number(run.stdout.trimEnd().split('\n').at(-1) ?? '0');
      const { record, trouble } = new RoleRecordStore(folder).peek();
      if (begun === 0) continue;
      assert.is(trouble === null || begun <= 1, true, String(trouble));
      assert.ok(
        record.generation === begun || record.generation === begun - 1,
        `${record.generation} of ${begun}`,
      );
    }
  },
  { timeoutMs: 30_000 },
);

test('files under the names of before are the same record, whole or half renamed by a power cut', () => {
  const store = new RoleRecordStore(folder);
  store.load(1_000);
  store.write({ generation: 5, standing: 'shared' });
  const { boot, serial } = store.peek();
  for (const renamed of [[0, 1], [0], [1]]) {
    for (const i of renamed)
      renameSync(join(folder, `role-record.${i}`), join(folder, `reign.${i}`));
    const { trouble, record, ...found } = new RoleRecordStore(folder).peek();
    assert.equal([trouble, record], [null, { generation: 5, standing: 'shared' }]);
    assert.equal([found.boot, found.serial], [boot, serial]);
    for (const i of renamed)
      renameSync(join(folder, `reign.${i}`), join(folder, `role-record.${i}`));
  }
  for (const i of [0, 1]) renameSync(join(folder, `role-record.${i}`), join(folder, `reign.${i}`));
  assert.is(new RoleRecordStore(folder).load(1).boot, boot + 1);
  assert.equal(readdirSync(folder).sort(), ['role-record.0', 'role-record.1']);
});

test.run();

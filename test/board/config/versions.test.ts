// Versions of the configuration file: what is kept, what returns, and that a cut at any step of it leaves
// the old file or the new one.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigStore } from '../../../firmware/board/config/store.ts';
import {
  type Clock,
  commitSteps,
  decodeTrial,
  encodeTrial,
  endTrialSteps,
  type Held,
  OLD_FOLDER,
  OLD_KEPT,
  readOldName,
  returnSteps,
  rollbacks,
  type Step,
  TRIAL_NAME,
  trialVerdict,
} from '../../../firmware/board/config/versions.ts';
import { assert, repoPath, type SeededRandom, seededRandom, suite } from '../../harness/index.ts';

const test = suite('board/config/versions');
const MINUTE_MS = 60_000;

/** A disk that keeps what was synced; of the rest, any part may be lost when the power goes. */
class FakeDisk {
  files = new Map<string, string>();
  private synced = new Map<string, string>();
  private pending: {
    readonly folder: string;
    readonly apply: (files: Map<string, string>) => void;
  }[] = [];

  do(step: Step): void {
    if (step.do === 'write') this.files.set(`${step.name}.new`, step.text);
    else if (step.do === 'sync') this.sync(step.folder);
    else {
      const { name } = step;
      const text = this.files.get(`${name}.new`);
      const apply = (files: Map<string, string>) => {
        if (step.do === 'remove') files.delete(name);
        else {
          if (text === undefined) throw new Error(`there is no ${name}.new`);
          files.set(name, text);
          files.delete(`${name}.new`);
        }
      };
      apply(this.files);
      this.pending.push({ folder: name.startsWith(OLD_FOLDER) ? 'old' : 'own', apply });
    }
  }

  private sync(folder: string): void {
    for (const change of this.pending) if (change.folder === folder) change.apply(this.synced);
    this.pending = this.pending.filter((change) => change.folder !== folder);
  }

  /** Names that were not synced come through or not, in order. */
  cut(random: SeededRandom): void {
    for (const { apply } of this.pending) if (random.chance(0.5)) apply(this.synced);
    this.pending = [];
    this.files = new Map(this.synced);
  }

  held(): Held {
    const trial = this.files.get(TRIAL_NAME);
    const old = [...this.files].flatMap(([name, text]) => {
      const head = name.startsWith(`${OLD_FOLDER}/`) ? readOldName(name.slice(5)) : null;
      return head === null ? [] : [{ ...head, text }];
    });
    return {
      current: this.files.get('') ?? null,
      old: old.sort((one, other) => other.serial - one.serial),
      trial: trial === undefined ? null : decodeTrial(trial),
    };
  }

  all(steps: readonly Step[]): void {
    for (const step of steps) this.do(step);
  }
}

const clockAt = (ms: number, bootId = 'boot'): Clock => ({ wallMs: ms, bootId, bootMs: ms });

/** What a board does at its start. */
function settle(disk: FakeDisk, clock: Clock): void {
  const verdict = trialVerdict(disk.held(), clock);
  if (verdict.is === 'void') disk.all(endTrialSteps());
  if (verdict.is === 'over') disk.all(returnSteps(disk.held(), clock) ?? endTrialSteps());
}

test('commit, then rollback N: byte for byte what was there', () => {
  const random = seededRandom();
  for (let round = 0; round < 50; round++) {
    const disk = new FakeDisk();
    const texts: string[] = [];
    for (let n = 0; n < 15; n++) {
      const text = `${Buffer.from(random.bytes(random.int(50))).toString('latin1')}${n}`;
      disk.all(commitSteps(disk.held(), { text, by: 'eva', minutes: null }, clockAt(n)));
      texts.unshift(text);
      assert.is(disk.held().current, text);
      const back = rollbacks(disk.held()).map((version) => version.text);
      assert.equal(back, texts.slice(1, 1 + back.length));
      assert.is(back.length, Math.min(n, OLD_KEPT));
    }
  }
});

test('a trial: confirmed it stays, else the one before returns, by either clock', () => {
  const begin = () => {
    const disk = new FakeDisk();
    disk.all(commitSteps(disk.held(), { text: 'old', by: 'eva', minutes: null }, clockAt(0)));
    disk.all(commitSteps(disk.held(), { text: 'new', by: 'eva', minutes: 5 }, clockAt(1_000)));
    return disk;
  };
  const untilMs = 1_000 + 5 * MINUTE_MS;
  const now = (disk: FakeDisk, clock: Clock) => {
    settle(disk, clock);
    return disk.held().current;
  };
  assert.is(now(begin(), clockAt(untilMs - 1)), 'new');
  assert.is(now(begin(), clockAt(untilMs)), 'old');
  assert.is(now(begin(), clockAt(untilMs, 'next boot')), 'old');
  assert.is(now(begin(), clockAt(untilMs - 1, 'next boot')), 'new');
  // Somebody sets the clock: within one start of the machine the other clock counts.
  assert.is(now(begin(), { ...clockAt(2_000), wallMs: 9e12 }), 'new');
  assert.is(now(begin(), { ...clockAt(untilMs), wallMs: 0 }), 'old');
  assert.is(
    now(begin(), { ...clockAt(-70_000, 'next boot') }),
    'old',
    'nobody knows what time it is',
  );
  const confirmed = begin();
  confirmed.all(endTrialSteps());
  assert.is(now(confirmed, clockAt(untilMs * 2)), 'new');
  const byHand = begin();
  byHand.files.set('', 'by hand');
  assert.is(now(byHand, clockAt(untilMs)), 'by hand', 'what somebody wrote since is not touched');
  const returned = begin();
  settle(returned, clockAt(untilMs));
  assert.equal(rollbacks(returned.held()).map(({ text, by }) => [text, by])[0], [
    'new',
    '0-returned',
  ]);
  assert.is(returned.held().trial, null);
});

test('the power goes at any step, any part of what was not synced is lost: old or new, never a mix', () => {
  const random = seededRandom();
  const minutes = [null, 5] as const;
  for (let round = 0; round < 400; round++) {
    const build = () => {
      const disk = new FakeDisk();
      for (const text of ['v1', 'v2', 'old'])
        disk.all(commitSteps(disk.held(), { text, by: 'eva', minutes: null }, clockAt(0)));
      return disk;
    };
    const disk = build();
    const trial = random.pick(minutes);
    const steps = commitSteps(disk.held(), { text: 'new', by: 'eva', minutes: trial }, clockAt(1));
    const cutAt = random.int(steps.length + 1);
    disk.all(steps.slice(0, cutAt));
    disk.cut(random);
    const { current } = disk.held();
    assert.ok(current === 'old' || current === 'new', `cut at ${cutAt}: ${current}`);
    if (cutAt === steps.length) assert.is(current, 'new');
    // Never new for good when it was to be on trial.
    if (trial !== null && current === 'new')
      assert.is(trialVerdict(disk.held(), clockAt(2)).is, 'waits');
    settle(disk, clockAt(2));
    assert.equal(
      rollbacks(disk.held())
        .map(({ text }) => text)
        .at(current === 'new' ? 1 : 0),
      'v2',
    );
    // The return is cut as well, again and again.
    for (let n = 0; n < 3; n++) {
      const clock = clockAt(10 * MINUTE_MS, 'next');
      const back =
        trialVerdict(disk.held(), clock).is === 'over' ? returnSteps(disk.held(), clock)! : [];
      disk.all(back.slice(0, random.int(back.length + 1)));
      disk.cut(random);
      assert.ok(['old', 'new'].includes(disk.held().current!));
    }
    settle(disk, clockAt(10 * MINUTE_MS, 'next'));
    if (trial !== null) assert.is(disk.held().current, 'old');
    else assert.is(disk.held().current, current);
    assert.is(disk.held().trial, null);
  }
});

test('a trial file that is damaged, or none, counts for nothing', () => {
  const disk = new FakeDisk();
  disk.all(commitSteps(disk.held(), { text: 'a', by: 'eva', minutes: null }, clockAt(0)));
  disk.all(commitSteps(disk.held(), { text: 'b', by: 'eva', minutes: 1 }, clockAt(0)));
  const whole = encodeTrial(disk.held().trial!);
  const random = seededRandom();
  for (let n = 0; n < 200; n++) {
    const bytes = Buffer.from(whole);
    bytes[random.int(bytes.length - 1)]! ^= 1 + random.int(127);
    assert.is(decodeTrial(bytes.toString('latin1')), null);
    decodeTrial(Buffer.from(random.bytes(random.int(100))).toString('latin1'));
  }
});

test(
  'kill -9 at every step, on a real disk: old or new, and the trial goes with its time',
  () => {
    const once = repoPath('dist/test/board/config/commit-once.js');
    const run = (file: string, what: string, killAt: number) =>
      spawnSync(process.execPath, [once, file, what, `${killAt}`], { encoding: 'utf8' });
    const folder = mkdtempSync(join(tmpdir(), 'twinstep-commit-'));
    let cases = 0;
    try {
      for (const what of ['good', 'trial', 'return'])
        for (let killAt = 0; ; killAt++) {
          const file = join(folder, `${what}-${killAt}.toml`);
          writeFileSync(file, 'old = 1\n');
          if (what === 'return') run(file, 'trial', -1);
          const { signal, stderr } = run(file, what, killAt);
          const text = readFileSync(file, 'utf8');
          assert.ok(
            ['old = 1\n', 'new = 1\n'].includes(text),
            `${what} ${killAt}: ${text}${stderr}`,
          );
          cases += 1;
          if (signal === null) {
            assert.is(text, what === 'return' ? 'old = 1\n' : 'new = 1\n', stderr);
            break;
          }
          // The next process finishes what was begun, or begins anew.
          const store = new ConfigStore(file);
          if (what === 'return') {
            run(file, 'return', -1);
            assert.is(readFileSync(file, 'utf8'), 'old = 1\n', `return, killed at ${killAt}`);
            assert.is(store.held().trial, null);
          } else {
            store.settle();
            const { current } = store.held();
            if (current === 'old = 1\n') run(file, what, -1);
            assert.is(readFileSync(file, 'utf8'), 'new = 1\n');
            assert.is(store.held().trial === null, what === 'good');
            assert.equal(
              rollbacks(store.held()).map((version) => version.text),
              ['old = 1\n'],
            );
          }
        }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    assert.ok(cases > 20, `${cases} cases`);
    console.log(`killed at ${cases} places`);
  },
  { timeoutMs: 120_000 },
);

test.run();

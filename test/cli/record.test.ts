// `twinstep record`, `replay` and `log` on an unmodified Linux: another process makes the same machine
// again; what a killed recorder left replays as far as it goes; what does not fit is refused in words.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CHUNK_HEAD_BYTES, MAGIC_BYTES } from '../../firmware/lockstep/chunks.ts';
import { linuxGuestOrNone } from '../guests/linux/assemble.ts';
import { assert, repoPath, suite } from '../harness/index.ts';

const test = suite('cli/record');
const SLOW = { timeoutMs: 240_000 };

const guest = linuxGuestOrNone();
test.needs({ met: guest !== undefined, why: 'needs Debian’s archive for the Linux guest' });

const folder = mkdtempSync(join(tmpdir(), 'twinstep-record-'));
const at = (name: string) => join(folder, name);
const files = ['--kernel', guest?.kernel ?? '', '--initrd', guest?.initrd ?? ''];
const append = (run: string) => [
  '--append',
  `console=ttyS0 quiet acpi=off noapic nolapic reboot=k twinstep.run=${run}`,
];

function twinstep(...args: string[]) {
  const command = repoPath('dist/firmware/cli/twinstep.js');
  const run = spawnSync(process.execPath, [command, ...args], { encoding: 'utf8' });
  return { code: run.status, out: run.stdout, words: run.stderr };
}

function start(...args: string[]): ChildProcess {
  const command = repoPath('dist/firmware/cli/twinstep.js');
  return spawn(process.execPath, [command, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
}

/** Resolves once the child has printed `text`; rejects when it ends without. */
function printed(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let seen = '';
    child.stdout?.on('data', (bytes) => {
      seen += bytes;
      if (seen.includes(text)) resolve();
    });
    child.once('close', () => reject(new Error(`ended without "${text}":\n${seen}`)));
  });
}

const closed = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => child.once('close', () => resolve()));

test(
  'a recorded Linux with a disk is made again by another process, to the last bit',
  () => {
    writeFileSync(at('disk'), new Uint8Array(4 << 20));
    copyFileSync(at('disk'), at('disk.before'));
    const recorded = twinstep(
      ...['record', '--log', at('log'), ...files, '--disk', at('disk'), ...append('disk')],
      ...['--serial', 'stdio'],
    );
    assert.is(recorded.code, 0, recorded.words);
    assert.match(recorded.out, '@disk written');
    const replayed = twinstep(
      ...['replay', at('log'), ...files, '--disk', at('disk.before'), '--verify'],
    );
    assert.is(replayed.code, 0, replayed.words);
    assert.match(replayed.words, 'registers, devices, memory and 1 disk are identical');
    assert.is(replayed.out.replaceAll('\r', ''), recorded.out.replaceAll('\r', ''));
    assert.ok(
      readFileSync(at('disk.before')).every((byte) => byte === 0),
      'a replay wrote a disk',
    );
  },
  SLOW,
);

test(
  'a checkpoint in the middle leads to the same end',
  () => {
    const { out } = twinstep('log', at('log'));
    const positions = out
      .split('\n')
      .flatMap((line) => /^ *\d+ +(\d+) {2}digest/.exec(line)?.[1] ?? []);
    const until = positions[Math.floor(positions.length * 0.8)] as string;
    const disk = ['--disk', at('disk.before')];
    const first = twinstep(
      ...['replay', at('log'), ...files, ...disk, '--quiet'],
      ...['--until', until, '--checkpoint', at('checkpoint')],
    );
    assert.is(first.code, 0, first.words);
    assert.match(first.words, `position ${until}`);
    const rest = twinstep(
      ...[
        'replay',
        at('log'),
        ...files,
        ...disk,
        '--quiet',
        '--verify',
        '--from',
        at('checkpoint'),
      ],
    );
    assert.is(rest.code, 0, rest.words);
    assert.match(rest.words, 'identical');
  },
  SLOW,
);

test(
  'a damaged, cut or foreign checkpoint is refused in words',
  () => {
    const replayFrom = (bytes: Uint8Array) => {
      writeFileSync(at('bad'), bytes);
      const { code, words } = twinstep(
        ...['replay', at('log'), ...files, '--disk', at('disk.before'), '--from', at('bad')],
      );
      assert.is(code, 1);
      return words;
    };
    const good = readFileSync(at('checkpoint'));
    const flipped = Buffer.from(good);
    flipped[good.length >> 1] = (flipped[good.length >> 1] as number) ^ 1;
    assert.match(replayFrom(flipped), /damaged at byte \d+/);
    assert.match(replayFrom(good.subarray(0, good.length - 30)), 'cut off');
    assert.match(replayFrom(readFileSync(at('log'))), 'not a checkpoint');
  },
  SLOW,
);

test(
  'another kernel, initrd or disk is refused with every difference',
  () => {
    const other = ['--kernel', guest?.initrd ?? '', '--disk', at('disk')];
    const { code, words } = twinstep('replay', at('log'), ...other);
    assert.is(code, 1);
    for (const word of ['kernel file: recorded with', 'initrd file:', 'disk 0: recorded with']) {
      assert.match(words, word);
    }
    assert.match(twinstep('replay', at('log'), ...files).words, /disk 0: .*, here it is none/);
  },
  SLOW,
);

test(
  'an altered entry is found, and named',
  () => {
    const bytes = readFileSync(at('log'));
    const whole = twinstep('log', at('log'), '--summary').out;
    const told = (place: number) => {
      const altered = Buffer.from(bytes);
      altered[place] = (altered[place] as number) ^ 16;
      writeFileSync(at('altered'), altered);
      return twinstep('log', at('altered'), '--summary').out;
    };
    // The last chunk that begins 200 bytes before the end or earlier: kind, length, checksum, payload.
    let chunk = MAGIC_BYTES;
    for (let next = chunk; next < bytes.length - 200; ) {
      chunk = next;
      next += CHUNK_HEAD_BYTES + bytes.readUInt32LE(next + 4);
    }
    const damaged = new RegExp(
      `damaged at byte ${chunk}: take another copy; everything before it is listed`,
    );
    for (const place of [0, 8, CHUNK_HEAD_BYTES]) assert.match(told(chunk + place), damaged);
    // With a length beyond the end of the file the rest of it looks like a chunk that was cut off.
    assert.match(told(chunk + 6), /cut off at byte \d+; everything before it is listed/);
    assert.not.match(whole, /damaged|cut off/);
  },
  SLOW,
);

test(
  'killed at a random moment: what is on disk is read and replays to there',
  async () => {
    for (const moment of ['@ready', '@bench start']) {
      rmSync(at('killed'), { force: true });
      const child = start('record', '--log', at('killed'), ...files, ...append('bench'));
      await printed(child, moment);
      const gone = closed(child);
      child.kill('SIGKILL');
      await gone;
      assert.ok(statSync(at('killed')).size > 1000);
      const listed = twinstep('log', at('killed'), '--summary');
      assert.is(listed.code, 0);
      assert.match(listed.out, 'did not end in order');
      const replayed = twinstep('replay', at('killed'), ...files);
      assert.is(replayed.code, 0, replayed.words);
      assert.match(replayed.out, moment);
    }
  },
  SLOW,
);

test(
  'a position before the checkpoint or behind the log: told in words',
  () => {
    const replay = (...options: string[]) =>
      twinstep('replay', at('log'), ...files, '--disk', at('disk.before'), '--quiet', ...options);
    const early = replay('--from', at('checkpoint'), '--until', '5');
    assert.is(early.code, 2);
    assert.match(early.words, /the checkpoint is already at \d+/);
    const late = replay('--from', at('checkpoint'), '--until', '9999999999999');
    assert.is(late.code, 0);
    assert.match(late.words, 'the log ends before position 9999999999999');
  },
  SLOW,
);

test(
  'a listing that nobody reads to its end ends quietly',
  () => {
    const command = repoPath('dist/firmware/cli/twinstep.js');
    const pipe = `"$0" "$1" log "$2" | head -n 1`;
    const run = spawnSync('sh', ['-c', pipe, process.execPath, command, at('log')], {
      encoding: 'utf8',
    });
    assert.match(run.stdout, /^ +0 +\d+ {2}[a-z]/);
    assert.is(run.stderr, '');
  },
  SLOW,
);

test(
  'mistakes on the command line: one line, exit code 2',
  () => {
    const cases: [string[], RegExp][] = [
      [['record', '--kernel', 'x'], /--log FILE is missing/],
      [['record', '--log', 'x'], /--kernel FILE is missing/],
      [['replay'], /give the log FILE first/],
      [['replay', 'x', '--until', 'soon'], /must be a position/],
      [['replay', 'x', '--nonsense'], /unknown option/],
      [['log'], /give one log FILE/],
      [['log', 'x', 'y'], /give one log FILE/],
      [['log', 'x', '--nonsense'], /unknown option/],
    ];
    for (const [args, words] of cases) {
      const run = twinstep(...args);
      assert.is(run.code, 2, args.join(' '));
      assert.match(run.words.trimEnd(), words);
      assert.is(run.words.trimEnd().split('\n').length, 1);
    }
    // A recorder that was killed before it wrote anything.
    writeFileSync(at('empty'), '');
    const empty = [twinstep('log', at('empty')), twinstep('replay', at('empty'), ...files)];
    for (const { code, words } of empty) {
      assert.is(code, 1);
      assert.match(words, 'this log is cut off in its head');
    }
    const missing = twinstep('log', at('nowhere'));
    assert.is(missing.code, 1);
    assert.match(missing.words, /nowhere: no such file/i);
    const twice = twinstep('record', '--log', at('log'), ...files, ...append('boot'));
    assert.is(twice.code, 1);
    assert.match(twice.words, /log .*exists/i);
  },
  SLOW,
);

test.after(() => rmSync(folder, { recursive: true, force: true }));
test.run();

// Console and board are two users with one group: what one writes the other reads and replaces, and a third
// user gets nothing. With real user ids, each in a process of its own.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert, repoPath, suite } from '../../harness/index.ts';

const test = suite('board/config/owners');
test.needs({ met: process.getuid?.() === 0, why: 'needs root, to be three users' });

const GROUP = 64_900;
const READERS = 64_905;
const BOARD = { uid: 64_901, gid: GROUP, groups: [GROUP, READERS] };
const CONSOLE = { uid: 64_902, gid: 64_902, groups: [GROUP, READERS] };
const AGENT = { uid: 64_903, gid: 64_903, groups: [READERS] };
const OTHER = { uid: 64_904, gid: 64_904, groups: [] };
type User = Readonly<{ uid: number; gid: number; groups: readonly number[] }>;

let folder = '';
let file = '';
let key = '';

test.before.each(() => {
  const top = mkdtempSync(join(tmpdir(), 'twinstep-owners-'));
  chmodSync(top, 0o755);
  folder = join(top, 'twinstep');
  mkdirSync(folder);
  chownSync(folder, BOARD.uid, GROUP);
  chmodSync(folder, 0o2771);
  file = join(folder, 'board.toml');
  key = join(folder, 'pairing.key');
});
test.after.each(() => rmSync(join(folder, '..'), { recursive: true }));

/** Null: done. Else why not. The modules are loaded while it is root: the tree may be closed to others. */
function as({ uid, gid, groups }: User, lines: string): string | null {
  const script = `
    const store = await import(${url('firmware/board/config/store.js')});
    const secret = await import(${url('firmware/host/secret-file.js')});
    const { readFileSync } = await import('node:fs');
    const [file, key] = ${JSON.stringify([file, key])};
    process.setgroups(${JSON.stringify(groups)});
    process.setgid(${gid});
    process.setuid(${uid});
    try { ${lines} } catch (error) { console.log(error.code ?? error.message); }`;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', script],
    { encoding: 'utf8', cwd: '/' },
  );
  assert.is(status, 0, stderr);
  return stdout.trim() || null;
}

const url = (path: string) => JSON.stringify(`file://${repoPath(`dist/${path}`)}`);
const readKey = `if (readFileSync(key).length !== 32 || secret.secretTrouble(key)) throw Error('no key');`;
const putKey = `store.putFile(key, new Uint8Array(32), secret.secretMode(key));`;
const commit = (text: string, base: string | null, minutes: number | null = null) =>
  `new store.ConfigStore(file).commit(${JSON.stringify({ text, by: 'eva', minutes })}, ${JSON.stringify(base)});`;
const modeOf = (path: string) => (statSync(path).mode & 0o7777).toString(8);

test('a key the console made is read by the board, and by no third user', () => {
  assert.is(as(CONSOLE, putKey), null);
  assert.is(modeOf(key), '640');
  assert.is(statSync(key).gid, GROUP);
  assert.is(as(BOARD, readKey), null);
  assert.is(as(AGENT, readKey), 'EACCES');
  assert.is(as(OTHER, readKey), 'EACCES');
});

test('a half-written file of the other user is no hindrance', () => {
  writeFileSync(`${key}.new`, 'half', { mode: 0o600 });
  chownSync(`${key}.new`, BOARD.uid, BOARD.uid);
  assert.is(as(CONSOLE, putKey), null);
  assert.is(as(BOARD, readKey), null);
});

test('a configuration the console commits anew on trial is taken back by the board', () => {
  assert.is(as(CONSOLE, commit('one', null)), null);
  assert.is(modeOf(file), '640');
  assert.is(modeOf(`${file}.old`), '2770');
  assert.is(modeOf(`${file}.lock`), '660');
  assert.is(as(CONSOLE, commit('two', 'one', 5)), null);
  const settle = `const { returned, trouble } = new store.ConfigStore(file).settle(true);
    if (returned === null || readFileSync(file, 'utf8') !== 'one') throw Error(trouble);`;
  assert.is(as(OTHER, `readFileSync(file);`), 'EACCES');
  assert.is(as(BOARD, settle), null);
  assert.is(as(CONSOLE, commit('three', 'one')), null);
});

test('a replaced file keeps its group and mode, so that the agent goes on reading it', () => {
  assert.is(as(CONSOLE, commit('one', null)), null);
  assert.is(as(AGENT, `readFileSync(file);`), 'EACCES');
  chownSync(file, BOARD.uid, READERS);
  assert.is(as(CONSOLE, commit('two', 'one')), null);
  assert.is(statSync(file).gid, READERS);
  assert.is(modeOf(file), '640');
  for (const user of [BOARD, CONSOLE, AGENT]) assert.is(as(user, `readFileSync(file);`), null);
  assert.is(as(OTHER, `readFileSync(file);`), 'EACCES');
});

test("outside a folder that hands its group on, a key is its owner's alone", () => {
  chmodSync(folder, 0o0755);
  assert.is(as(BOARD, putKey), null);
  assert.is(modeOf(key), '600');
  chmodSync(key, 0o640);
  assert.is(as(BOARD, readKey), 'no key');
});

test.run();

// The tree obeys its own rules, and each rule notices the fault it is for.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lint, RULES } from '../../buildroot/tools/lint.ts';
import { TREE } from '../../buildroot/tools/tree.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('buildroot/lint');
let folder = '';

test.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-tree-'));
});
test.after(() => rmSync(folder, { recursive: true, force: true }));

const OVERLAY = 'board/twinstep/rootfs-overlay';
const DEFCONFIG = 'configs/twinstep_x86_64_defconfig';

/** What the rules say of a copy in which `edit` has changed one file. */
function findingsAfter(path: string, edit: (text: string) => string): string[] {
  const copy = join(folder, 'tree');
  rmSync(copy, { recursive: true, force: true });
  cpSync(TREE, copy, { recursive: true, verbatimSymlinks: true });
  const before = readFileSync(join(copy, path), 'utf8');
  const after = edit(before);
  assert.is.not(after, before, `the edit of ${path} changes nothing`);
  writeFileSync(join(copy, path), after);
  return lint(copy);
}

test('the tree obeys its rules', () => {
  assert.equal(lint(TREE), []);
});

const FAULTS: [rule: keyof typeof RULES, path: string, edit: (text: string) => string][] = [
  [
    'files named in the tree exist',
    DEFCONFIG,
    (t) => t.replace('genimage', 'x').replace('users_table', 'user_table'),
  ],
  [
    'every fragment is used',
    DEFCONFIG,
    (t) => t.replace('linux/nics.fragment', 'linux/boot.fragment'),
  ],
  ['scripts parse', `${OVERLAY}/usr/libexec/twinstep/board`, (t) => t.replace('done\n', '\n')],
  [
    'symbols are unique',
    'board/twinstep/linux/nics.fragment',
    (t) => `${t}# Twice\nCONFIG_KVM=m\n`,
  ],
  [
    'every option has its reason',
    'board/twinstep/linux/nics.fragment',
    (t) => t.replace('# Intel i225, i226\n', ''),
  ],
  ['no tabs and trailing spaces', 'board/twinstep/grub.cfg', (t) => t.replace('\n', ' \n')],
  ['files end with a newline', 'external.mk', (t) => t.trimEnd()],
  [
    'scripts named by scripts exist',
    `${OVERLAY}/etc/inittab`,
    (t) => t.replace('board-stop', 'board-end'),
  ],
  [
    'init scripts follow the manner',
    `${OVERLAY}/etc/init.d/S40nics`,
    (t) => t.replace('DAEMON="nics"', 'DAEMON="nic"'),
  ],
  [
    'users have fixed numbers and no login',
    'board/twinstep/users_table.txt',
    (t) => t.replace('901 *', '901 =x'),
  ],
  ['hashes are hashes', 'patches/linux/linux.hash', (t) => t.replace('sha256  0', 'sha256  ')],
  ['versions agree', DEFCONFIG, (t) => t.replace('VALUE="6.12.', 'VALUE="6.13.')],
  ['no private keys', 'README.md', (t) => `${t}-----BEGIN ${''}PRIVATE KEY-----\n`],
  ['slots agree', 'board/twinstep/genimage.cfg', (t) => t.replace('size = 512M', 'size = 256M')],
];

for (const [rule, path, edit] of FAULTS) {
  test(`a planted fault is noticed: ${rule}`, () => {
    const findings = findingsAfter(path, edit);
    assert.ok(
      findings.some((finding) => finding.startsWith(`${rule}: `)),
      findings.join('\n'),
    );
  });
}

test('every rule has its planted fault', () => {
  const tried = new Set<string>(FAULTS.map(([rule]) => rule));
  // A lost executable bit is planted by nothing here: a copy keeps modes.
  const untried = Object.keys(RULES).filter((rule) => !tried.has(rule));
  assert.equal(untried, ['scripts are executable']);
});

test.run();

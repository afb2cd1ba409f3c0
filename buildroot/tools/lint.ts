// Rules about the tree that need neither a tool nor a download. Each answers what is wrong, in words.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { filesOf, hashesOf, isShell, namedFiles, optionsOf, ROOT, type TreeFile } from './tree.ts';

export type Rule = (tree: string, files: readonly TreeFile[]) => string[];

/** Made by `npm run image:source`, not kept in Git. */
const MADE = /^source(\/|$)/;
const OVERLAY = 'board/twinstep/rootfs-overlay';
const DEFCONFIG = 'configs/twinstep_x86_64_defconfig';

const isFragment = (file: TreeFile): boolean => file.path.endsWith('.fragment');

const namedFilesExist: Rule = (tree, files) =>
  files.flatMap((file) =>
    namedFiles(file)
      .filter((path) => !path.includes('*') && !MADE.test(path) && !existsSync(join(tree, path)))
      .map((path) => `${file.path} names ${path}, which does not exist`),
  );

const fragmentsAreUsed: Rule = (_tree, files) => {
  const defconfig = files.find((file) => file.path === DEFCONFIG)?.text ?? '';
  return files
    .filter((file) => isFragment(file) && !defconfig.includes(`/${file.path}`))
    .map((file) => `${file.path} is in no option of ${DEFCONFIG}`);
};

const scriptsParse: Rule = (tree, files) =>
  files.filter(isShell).flatMap((file) => {
    const run = spawnSync('sh', ['-n', join(tree, file.path)], { encoding: 'utf8' });
    return run.status === 0 ? [] : [`${file.path}: ${run.stderr.trim()}`];
  });

const scriptsAreExecutable: Rule = (_tree, files) =>
  files
    .filter((file) => file.text.startsWith('#!') && !file.isExecutable)
    .filter((file) => !file.path.startsWith('package/'))
    .map((file) => `${file.path} has a #! but is not executable`);

const symbolsAreUnique: Rule = (_tree, files) => {
  const seen = new Map<string, string>();
  const kernel = files.filter((file) => isFragment(file) && file.path.includes('/linux/'));
  const others = files.filter((file) => /_defconfig$|busybox\.fragment$/.test(file.path));
  const found: string[] = [];
  for (const [group, members] of [
    ['kernel', kernel],
    ...others.map((f) => [f.path, [f]] as const),
  ] as [string, TreeFile[]][]) {
    for (const option of members.flatMap(optionsOf)) {
      const key = `${group} ${option.name}`;
      const before = seen.get(key);
      if (before !== undefined) found.push(`${option.name}: in ${before} and in ${option.file}`);
      seen.set(key, `${option.file}:${option.line}`);
    }
  }
  return found;
};

const reasonsAreGiven: Rule = (_tree, files) =>
  files
    .filter(isFragment)
    .flatMap(optionsOf)
    .filter((option) => !/\w{2,}.*\w/.test(option.reason))
    .map((option) => `${option.file}:${option.line}: ${option.name} without a reason above it`);

/** Patches have the whitespace of what they patch. */
const whitespace: Rule = (_tree, files) =>
  files
    .filter((file) => !file.path.endsWith('.patch'))
    .flatMap((file) =>
      file.text.split('\n').flatMap((line, index) => {
        const tabs = isFragment(file) || /_defconfig$|\.cfg$/.test(file.path) ? /\t/ : /^\t* +\t/;
        const isTab = tabs.test(line) && !file.path.endsWith('genimage.cfg');
        const wrong = /[ \t]$/.test(line) ? 'trailing space' : isTab ? 'tab' : undefined;
        return wrong === undefined ? [] : [`${file.path}:${index + 1}: ${wrong}`];
      }),
    );

const endsWithNewline: Rule = (_tree, files) =>
  files.filter((file) => !file.text.endsWith('\n')).map((file) => `${file.path}: no last newline`);

/** Programs init, scripts and tables start must come with the overlay or with a package. */
const scriptsNamedExist: Rule = (tree, files) => {
  const made = ['/usr/bin/twinstep'];
  return files
    .filter((file) => file.path.startsWith(`${OVERLAY}/`))
    .flatMap((file) =>
      [...file.text.matchAll(/\/usr\/libexec\/twinstep\/([\w.-]+)|\/usr\/bin\/twinstep\b/g)]
        .map(([path]) => path.replace(/\.$/, ''))
        .filter((path) => !made.includes(path) && !existsSync(join(tree, OVERLAY, path)))
        .map((path) => `${file.path} names ${path}, which is not in the overlay`),
    );
};

const initScripts: Rule = (tree) => {
  const folder = join(tree, OVERLAY, 'etc/init.d');
  const names = readdirSync(folder);
  const numbers = names.map((name) => name.slice(0, 3));
  return [
    ...names.filter((name) => !/^S\d\d[a-z]+$/.test(name)).map((name) => `${name}: not SNNname`),
    ...names
      .filter(
        (name) => !readFileSync(join(folder, name), 'utf8').includes(`DAEMON="${name.slice(3)}"`),
      )
      .map((name) => `${name}: DAEMON is not ${name.slice(3)}`),
    ...numbers.filter((n, i) => numbers.indexOf(n) !== i).map((n) => `${n}: two init scripts`),
  ];
};

/** Users own data that outlives an image, so their numbers are fixed, unique, and without login. */
const users: Rule = (_tree, files) => {
  const table = files.find((file) => file.path === 'board/twinstep/users_table.txt')?.text ?? '';
  const rows = table
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(/\s+/));
  const found = rows.flatMap(([name = '', uid, , gid, password, , shell]) => [
    ...(name !== '-' && !/^9\d\d$/.test(uid ?? '')
      ? [`user ${name}: number ${uid} is not fixed`]
      : []),
    ...(!/^9\d\d$/.test(gid ?? '') ? [`user ${name}: group number ${gid} is not fixed`] : []),
    ...(password !== '*' ? [`user ${name} can log in`] : []),
    ...(shell !== '-' ? [`user ${name} has a shell`] : []),
  ]);
  const ids = rows.map(([, , , gid]) => gid);
  return [...found, ...(new Set(ids).size === ids.length ? [] : ['two users share a number'])];
};

const hashes: Rule = (_tree, files) =>
  files
    .filter((file) => file.path.endsWith('.hash'))
    .flatMap((file) =>
      hashesOf(file)
        .filter(({ algorithm, hash, name }) => {
          const digits = { sha256: 64, sha512: 128 }[algorithm] ?? 0;
          return !new RegExp(`^[0-9a-f]{${digits}}$`).test(hash) || name === '';
        })
        .map(({ name }) => `${file.path}: no sound hash for "${name}"`),
    );

const versions: Rule = (tree, files) => {
  const text = (path: string): string => files.find((file) => file.path === path)?.text ?? '';
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version;
  const packaged = /^TWINSTEP_VERSION = (.+)$/m.exec(text('package/twinstep/twinstep.mk'))?.[1];
  const kernel = /KERNEL_CUSTOM_VERSION_VALUE="(.+)"/.exec(text(DEFCONFIG))?.[1];
  const headers = join(tree, 'patches/linux-headers/linux-headers.hash');
  const layout = text('board/twinstep/genimage.cfg');
  const sector = /partition bios \{[^}]*offset = 1M/.test(layout);
  return [
    ...(packaged === manifest ? [] : [`twinstep.mk says ${packaged}, package.json ${manifest}`]),
    ...(text('patches/linux/linux.hash').includes(`linux-${kernel}.tar.xz`)
      ? []
      : [`patches/linux/linux.hash has no hash of linux-${kernel}`]),
    ...(existsSync(headers) ? [] : ['patches/linux-headers has no hash']),
    ...(sector && text('board/twinstep/post-image.sh').includes('92 2048')
      ? []
      : ['post-image.sh and genimage.cfg disagree about the second stage of GRUB']),
  ];
};

/** Keys sign; they are never part of what is signed. */
const noKeys: Rule = (_tree, files) =>
  files
    .filter((file) => /-----BEGIN [A-Z ]*PRIVATE KEY/.test(file.text))
    .map((file) => `${file.path} holds a private key`);

/** A slot must fit the partition for ever, and both must be the same size. */
const slots: Rule = (_tree, files) => {
  const layout = files.find((file) => file.path === 'board/twinstep/genimage.cfg')?.text ?? '';
  const rauc = files.find((file) => file.path === `${OVERLAY}/etc/rauc/system.conf`)?.text ?? '';
  const sizes = ['system-a', 'system-b'].map(
    (name) => new RegExp(`partition ${name} \\{[^}]*size = (\\w+)`).exec(layout)?.[1],
  );
  return [
    ...(sizes[0] !== undefined && sizes[0] === sizes[1] ? [] : ['slots are not of one size']),
    ...['system-a', 'system-b']
      .filter((name) => !rauc.includes(`device=/dev/twinstep/${name}\n`))
      .map((name) => `etc/rauc/system.conf does not know ${name}`),
  ];
};

export const RULES: Readonly<Record<string, Rule>> = {
  'files named in the tree exist': namedFilesExist,
  'every fragment is used': fragmentsAreUsed,
  'scripts parse': scriptsParse,
  'scripts are executable': scriptsAreExecutable,
  'symbols are unique': symbolsAreUnique,
  'every option has its reason': reasonsAreGiven,
  'no tabs and trailing spaces': whitespace,
  'files end with a newline': endsWithNewline,
  'scripts named by scripts exist': scriptsNamedExist,
  'init scripts follow the manner': initScripts,
  'users have fixed numbers and no login': users,
  'hashes are hashes': hashes,
  'versions agree': versions,
  'no private keys': noKeys,
  'slots agree': slots,
};

export function lint(tree: string): string[] {
  const files = filesOf(tree);
  return Object.entries(RULES).flatMap(([name, rule]) =>
    rule(tree, files).map((finding) => `${name}: ${finding}`),
  );
}

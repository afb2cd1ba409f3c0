// Copies what runs from the unpacked and built source archive into its place in an image: compiled
// JavaScript, built addons, packages. Sources, headers, objects and others' binaries stay behind.
//   node install.mjs SOURCE-FOLDER TARGET-FOLDER
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join, relative } from 'node:path';

const [source, target] = process.argv.slice(2);
if (source === undefined || target === undefined) {
  console.error('usage: node install.mjs SOURCE-FOLDER TARGET-FOLDER');
  process.exit(2);
}

/** Beside a binding.gyp, `build` is a build tree: one file of it runs. Elsewhere it is what runs. */
function isObject(path) {
  const [, parent, rest] = /^(.*)\/build\/(.+)$/.exec(path) ?? [];
  if (parent === undefined || !existsSync(join(source, parent, 'binding.gyp'))) return false;
  return !/^Release(\/[^/]+\.node)?$/.test(rest);
}
const isNoise = (name) =>
  /\.(cc|cpp|h|gyp|gypi|c|mk|md|d\.ts|d\.ts\.map|d\.mts|d\.cts|ts|target|yml)$/i.test(name) ||
  /^(prebuilds|test|tests|example|examples|@types|undici-types|\.github|\.bin|\.package-lock\.json)$/.test(
    name,
  );

/** Packages below a node_modules folder, those inside packages too. */
function packagesBelow(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (name.startsWith('@')) return packagesBelow(path);
    return existsSync(join(path, 'package.json'))
      ? [path, ...packagesBelow(join(path, 'node_modules'))]
      : [];
  });
}

/** What was left behind must not be what a package starts with. */
function startsWithNothing(folder) {
  const { main = '' } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  if (main === '') return false;
  try {
    createRequire(join(folder, 'package.json')).resolve(folder);
    return false;
  } catch (error) {
    return error.code === 'MODULE_NOT_FOUND';
  }
}

rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
for (const part of ['package.json', 'LICENSE', 'dist', 'native/build/Release', 'node_modules']) {
  const from = join(source, part);
  if (!existsSync(from)) throw new Error(`${part} is missing in ${source}: was it built?`);
  cpSync(from, join(target, part), {
    recursive: true,
    filter: (path) => {
      const inside = relative(source, path);
      return !isObject(inside) && !(inside !== part && isNoise(basename(inside)));
    },
  });
}

const addon = join(target, 'native/build/Release/twinstep.node');
if (!existsSync(addon)) throw new Error(`${addon} was not built`);

const { dependencies = {} } = JSON.parse(readFileSync(join(target, 'package.json'), 'utf8'));
const modules = join(target, 'node_modules');
const missing = Object.keys(dependencies).filter((name) => !existsSync(join(modules, name)));
const broken = packagesBelow(modules).filter(startsWithNothing);
if (missing.length + broken.length > 0) {
  throw new Error(
    `packages that are missing or without their code: ${[...missing, ...broken].join(', ')}`,
  );
}

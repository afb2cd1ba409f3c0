// Copies what runs from the unpacked and built source archive into its place in an image: compiled
// JavaScript, built addons, packages. Sources, headers, objects and others' binaries stay behind.
//   node install.mjs SOURCE-FOLDER TARGET-FOLDER
import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { basename, join, relative } from 'node:path';

const [source, target] = process.argv.slice(2);
if (source === undefined || target === undefined) {
  console.error('usage: node install.mjs SOURCE-FOLDER TARGET-FOLDER');
  process.exit(2);
}

/** Build trees hold one file that runs. */
const isObject = (path) => /(^|\/)build\/(?!Release(\/[^/]+\.node)?$)/.test(path);
const isNoise = (name) =>
  /\.(cc|cpp|h|gyp|gypi|c|mk|md|d\.ts|d\.ts\.map|d\.mts|ts|target|yml)$/i.test(name) ||
  /^(prebuilds|test|tests|example|examples|src|\.github|\.bin|\.package-lock\.json)$/.test(name);

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

// The first thing every script of package.json runs. It is written as people wrote in 2015, so that a Node that
// is too old for everything else can still read it and say so; prepare.mjs does the work.
'use strict';

const { engines } = require('../../package.json');
const { satisfies } = require('./node-range.cjs');

const words = trouble(process.versions.node, process.platform, process.arch);
if (words !== '') {
  console.error(`twinstep: ${words}`);
  process.exit(1);
}
import('./prepare.mjs').catch((error) => {
  console.error(error);
  process.exit(1);
});

function trouble(version, platform, arch) {
  if (platform !== 'linux' || arch !== 'x64')
    return `Linux on x86-64 is needed, this is ${platform} on ${arch}.`;
  if (satisfies(version, engines.node)) return '';
  const parts = engines.node.split('||').map((part) => part.trim());
  const newest = parts.filter((part) => part.startsWith('>=')).map((part) => part.slice(2));
  const of = parts.filter((part) => part.startsWith('^')).map((part) => part.slice(1));
  const older = of.map((from) => ` (or ${from} and newer of Node ${from.split('.')[0]})`);
  return `Node ${newest} or newer${older.join('')} is needed, this is ${version}: get it from https://nodejs.org/en/download`;
}

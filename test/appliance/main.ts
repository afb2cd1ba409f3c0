// The command behind `npm run image:emulated`.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { TREE } from '../../buildroot/tools/tree.ts';
import { makeDisk } from './disk.ts';
import { CACHE, Packages } from './parts.ts';
import { makeRoot } from './root.ts';
import { Tools } from './tools.ts';

const packages = new Packages();
const tools = new Tools(packages);
const keys = join(CACHE, 'test-keys');
if (!existsSync(join(keys, 'ca.cert.pem'))) execFileSync(join(TREE, 'tools/test-keys.sh'), [keys]);
const root = makeRoot(packages, tools, join(keys, 'ca.cert.pem'));
console.log(root.kernel.release, root.lacking);
console.log(makeDisk(packages, tools, root));

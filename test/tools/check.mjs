// Everything that can be said about the sources without running them: types (prepare has just
// compiled them), lint and format, borders. Ends non-zero on the first kind that is not clean.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const node = (...args) => spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status;

const results = {
  'lint and format': node('node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings'),
  borders: node('--enable-source-maps', 'dist/test/harness/main.js', '^borders'),
};
const failed = Object.keys(results).filter((name) => results[name] !== 0);
console.log(failed.length === 0 ? 'check: clean' : `check: not clean: ${failed.join(', ')}`);
process.exit(failed.length === 0 ? 0 : 1);

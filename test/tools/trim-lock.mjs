// Takes registry addresses out of package-lock.json: any registry mirror must do, and npm fills
// them in again on every install of a new package. The integrity hashes stay and are what counts.
// (npm's own omit-lockfile-registry-resolved leaves entries `npm ci` cannot read.)
import { readFileSync, writeFileSync } from 'node:fs';

const file = new URL('../../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));
for (const entry of Object.values(lock.packages)) delete entry.resolved;
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);

// Removes everything the project's own scripts made in this checkout, caches included.
import { rmSync } from 'node:fs';

for (const folder of ['dist', 'native/build', '.bench', '.cache', 'node_modules']) {
  rmSync(new URL(`../../${folder}`, import.meta.url), { recursive: true, force: true });
}

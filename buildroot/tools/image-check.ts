// The command behind `npm run image:check`.
import { GATES } from './gates.ts';

let passed = 0;
let failed = 0;
let skipped = 0;
for (const [name, gate] of Object.entries(GATES)) {
  const result = gate();
  if ('skipped' in result) {
    skipped += 1;
    console.log(`skipped  ${name}: ${result.skipped}`);
  } else if (result.findings.length === 0) {
    passed += 1;
    console.log(`passed   ${name}: ${result.words}`);
  } else {
    failed += 1;
    console.log(`FAILED   ${name}`);
    for (const finding of result.findings) console.log(`         ${finding}`);
  }
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed === 0 ? 0 : 1;

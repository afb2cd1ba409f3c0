// One commit, return or confirmation in a process of its own: `commit-once FILE WHAT KILL-AT-STEP`. Killed
// hard before the step of that number, as by a power cut that the page cache survives.
import { ConfigStore, now } from '../../../firmware/board/config/store.ts';

const [file = '', what = '', killAt = ''] = process.argv.slice(2);
let steps = 0;
const store = new ConfigStore(file, () => {
  if (steps++ === Number(killAt)) process.kill(process.pid, 'SIGKILL');
});
const later = { ...now(), wallMs: Date.now() + 3_600_000, bootId: 'another boot' };
if (what === 'return') store.settle(false, later);
else {
  const { current } = store.held();
  store.commit({ text: 'new = 1\n', by: 'eva', minutes: what === 'trial' ? 5 : null }, current);
}
process.stdout.write(`${steps}\n`);

// What runs inside the emulated machine for `npm run test:vtx -- --linux`: an unmodified Debian Linux on the
// hardware engine, first alone, then on two boards with a takeover. Says a line a step, as inside.ts does.
//
//     linux.js ENGINE KERNEL INITRD EMULATOR
import { ENGINE_CHOICES } from '../../firmware/host/engine-kinds.ts';
import { probeKvm } from '../../native/index.ts';
import { Rig, type TestBoard } from '../board/replication/rig.ts';
import { seededRandom } from '../harness/random.ts';

// Its words from the first on, to see where it stops.
const APPEND =
  'console=ttyS0 earlyprintk=ttyS0,115200 acpi=off noapic nolapic reboot=k print-fatal-signals=1 panic=0 twinstep.run=shell';
/** A signal's frame that XSAVE wrote is refused by XRSTOR under QEMU's emulated SVM; under Bochs it is not. */
const QUIRKS: Record<string, string> = { 'qemu-svm': ' noxsave' };
const GUEST_BYTES = 96 << 20;
const STILL_ALIVE_MS = 10_000;

const [wanted, kernel = '', initrd = '', emulator = ''] = process.argv.slice(2);
const engine = ENGINE_CHOICES.find((choice) => choice === wanted) ?? 'auto';
const say = (line: string) => process.stdout.write(`${line}\n`);
let steps = 0;

async function step(name: string, body: () => Promise<string>): Promise<void> {
  const begunMs = performance.now();
  const found = await body();
  const words = found === '' ? '' : `${found}, `;
  say(`ok ${++steps} - ${name} # ${words}${((performance.now() - begunMs) / 1000).toFixed(1)} s`);
}

for (const line of probeKvm().words) say(`# ${line}`);
const rig = new Rig({
  random: seededRandom('linux'),
  plan: {
    engine,
    kernel,
    initrd,
    append: APPEND + (QUIRKS[emulator] ?? ''),
    memoryBytes: GUEST_BYTES,
  },
  diskBytes: 8 << 20,
});
await rig.open();
const { a, b, plant } = rig;
const alive = setInterval(() => {
  const words = [a, b].map(
    ({ replication }) => `${replication.facts().guest} ${replication.facts().position}`,
  );
  say(`# ${words.join(', ')}: ${JSON.stringify(plant.text.slice(-60))}`);
  const told = [a, b].flatMap(({ events }) => events.splice(0));
  for (const { code, text } of told) say(`# ${code} ${text}`);
  // Nobody decides for these two boards what is to be done then.
  if (plant.text.includes('Kernel panic')) end(plant.text.slice(-4000).replaceAll('\r\n', '\n  '));
  const diverged = told.find(({ code }) => code === 'DIVERGED');
  if (diverged !== undefined) end(diverged.text);
}, STILL_ALIVE_MS);

function end(problem?: string): never {
  clearInterval(alive);
  if (problem !== undefined) say(`not ok ${++steps} - ${problem}`);
  const failed = problem === undefined ? 0 : 1;
  say(`1..${steps}`);
  say(`${steps - failed} passed, ${failed} failed`);
  process.exit(failed);
}

let asked = 0;
async function shell(board: TestBoard, command: string, wanted: RegExp): Promise<string> {
  const from = plant.text.length;
  const mark = `q${++asked}`;
  plant.type(`${command}; echo "@"${mark}\n`);
  await board.until(() => plant.text.slice(from).includes(`@${mark}\r`));
  const said = plant.text.slice(from);
  if (!wanted.test(said)) throw new Error(`${command}: ${said}`);
  return '';
}

try {
  await step(`Linux boots to a shell on ${engine}`, async () => {
    await rig.lead(a);
    await a.until(() => /@ready shell[\s\S]*# /.test(plant.text));
    const { position, engine: chosen } = a.replication.facts();
    return `${chosen.kind}, position ${position}`;
  });
  await step('a shell computes and writes a file system', async () => {
    await shell(a, 'x=41; uname -r; md5sum /bin/busybox', /[0-9a-f]{32}/);
    const make = 'mke2fs /dev/vda >/dev/null 2>&1; mkdir -p /mnt; mount /dev/vda /mnt';
    return await shell(a, `${make}; echo kept >/mnt/kept; sync; cat /mnt/kept`, /kept\r/);
  });
  await step('in step', async () => {
    await rig.protect(a, b, 1);
    return JSON.stringify(a.replication.leading.lastSync);
  });
  await step('a takeover: the shell goes on', async () => {
    await shell(a, 'echo got $((x+1))', /got 42/);
    await rig.kill(a);
    rig.takeOver(b);
    return await shell(b, 'echo got $((x+2)); cat /mnt/kept', /got 43\r[\s\S]*kept\r/);
  });
  end();
} catch (error) {
  end((error as Error).message.split('\n')[0]);
}

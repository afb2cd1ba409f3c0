// What runs inside the emulated machine for `npm run test:vtx -- --linux`: an unmodified Debian Linux on the
// hardware engine, first alone, then on two boards with takeovers and hand-overs, short of memory, so that it
// swaps all the time; at the end one byte of a backup's memory is changed, found and mended. Says a line a step, as
// inside.ts does.
//
//     linux.js ENGINE KERNEL INITRD EMULATOR ROUNDS
import { ENGINE_CHOICES } from '../../firmware/host/engine-kinds.ts';
import { GuestMemory, probeKvm } from '../../native/index.ts';
import { Rig, type TestBoard } from '../board/replication/rig.ts';
import { seededRandom } from '../harness/random.ts';

// Each letter it says is an exit or two, and there are 50,000 of them in a boot: so quiet. To see where it stops:
// earlyprintk=ttyS0,115200 instead.
const APPEND =
  'console=ttyS0 quiet acpi=off noapic nolapic reboot=k print-fatal-signals=1 panic=0 twinstep.run=shell';
/** A signal's frame that XSAVE wrote is refused by XRSTOR under QEMU's emulated SVM; under Bochs it is not. */
const QUIRKS: Record<string, string> = { 'qemu-svm': ' noxsave' };
const GUEST_BYTES = 96 << 20;
const STILL_ALIVE_MS = 10_000;

// A file system with a swap file in it.
const DISK_BYTES = 64 << 20;
const SWAP_MIB = 44;

const [wanted, kernel = '', initrd = '', emulator = '', given = '1'] = process.argv.slice(2);
const rounds = Number(given);
const engine = ENGINE_CHOICES.find((choice) => choice === wanted) ?? 'auto';
const say = (line: string) => process.stdout.write(`${line}\n`);
let steps = 0;
let isPlanted = false;

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
  diskBytes: DISK_BYTES,
  disks: () => new Uint8Array(DISK_BYTES),
});
await rig.open();
const { a, b, plant } = rig;
const alive = setInterval(() => {
  const words = [rig.a, rig.b].map(
    ({ replication }) => `${replication.facts().guest} ${replication.facts().position}`,
  );
  say(`# ${words.join(', ')}: ${JSON.stringify(plant.text.slice(-60))}`);
  const told = [rig.a, rig.b].flatMap(({ events }) => events.splice(0));
  for (const { code, text } of told) say(`# ${code} ${text}`);
  // Nobody decides for these two boards what is to be done then.
  if (plant.text.includes('Kernel panic')) end(plant.text.slice(-4000).replaceAll('\r\n', '\n  '));
  const diverged = told.find(({ code }) => code === 'DIVERGED');
  if (diverged !== undefined && !isPlanted) end(diverged.text);
}, STILL_ALIVE_MS);

function end(problem?: string): never {
  clearInterval(alive);
  if (problem !== undefined) say(`not ok ${++steps} - ${problem}`);
  const failed = problem === undefined ? 0 : 1;
  say(`1..${steps}`);
  say(`${steps - failed} passed, ${failed} failed`);
  process.exit(failed);
}

const ms = (value: number) => `${value.toFixed(0)} ms`;

let asked = 0;
async function shell(board: TestBoard, command: string, wanted: RegExp): Promise<string> {
  const from = plant.text.length;
  const mark = `q${++asked}`;
  plant.type(`${command}; echo "@"${mark}\n`);
  await board.until(() => plant.text.slice(from).includes(`@${mark}\r`));
  const said = plant.text.slice(from);
  if (!wanted.test(said)) throw new Error(`${command}: ${said}`);
  return said;
}

/** More than there is memory for, in a file of tmpfs and in a process: what was swapped out so far. */
async function underPressure(board: TestBoard): Promise<string> {
  const before = board.replication.facts().position;
  const sum = 'BEGIN{for(i=0;i<90000;i++)a[i]=i;for(i=0;i<90000;i++)s+=a[i];print "sum " s}';
  await shell(board, `awk '${sum}'`, /sum 4049955000\r/);
  await shell(
    board,
    'md5sum </tmp/big >/tmp/now; cmp /tmp/now /mnt/big && echo is "same"',
    /is same\r/,
  );
  const said = await shell(
    board,
    'grep pswp /proc/vmstat; cut -d" " -f1 /proc/uptime',
    /pswpout \d/,
  );
  const [, swappedIn, swappedOut, seconds] =
    /pswpin (\d+)\s+pswpout (\d+)\s+([\d.]+)/.exec(said) ?? [];
  if (Number(swappedOut) === 0) throw new Error('it does not swap');
  const { position } = board.replication.facts();
  return `${position - before} positions to ${position}, ${swappedOut} pages out and ${swappedIn} in, up ${seconds} s`;
}

/** The pair, and what it went through. */
let [leader, backup] = [a, b];
const lived = { takeovers: 0, handOvers: 0, syncs: 0, directions: new Set<string>() };

async function intoStep(): Promise<void> {
  await rig.protect(leader, backup, ++lived.syncs);
}

/** The other board comes back, and is in step. */
async function backInStep(name: 'a' | 'b'): Promise<void> {
  backup = await rig.revive(name);
  await intoStep();
}

async function takenOver(round: number): Promise<string> {
  await shell(leader, `echo got $((x+${round}))`, new RegExp(`got ${41 + round}`));
  const old = leader.name;
  await rig.kill(leader);
  const begunMs = performance.now();
  rig.takeOver(backup);
  leader = backup;
  lived.takeovers++;
  lived.directions.add(`${old} to ${leader.name}`);
  await shell(leader, `echo got $((x+1+${round})); cat /mnt/kept`, /got \d+\r[\s\S]*kept\r/);
  const answeredMs = performance.now() - begunMs;
  await backInStep(old);
  const inStepMs = performance.now() - begunMs;
  const at = leader.replication.facts().position;
  return `${old} to ${leader.name}, the shell answers after ${ms(answeredMs)}, in step again after ${ms(inStepMs)} at ${at}`;
}

async function handedOver(): Promise<string> {
  const [old, next] = [leader, backup];
  const said = underPressure(next);
  await rig.handOver(old, next);
  [leader, backup] = [next, old];
  lived.handOvers++;
  return `${old.name} to ${next.name}, ${await said}`;
}

/**
 * One bit of each place where the backup's memory has a word that the guest was just told: it says another word than
 * the leader's, and writes it, too.
 */
async function plantDifference(): Promise<string> {
  const word = 'planted-in-one';
  await shell(leader, `echo planted-in-"one" >/tmp/word; cat /tmp/word`, new RegExp(`${word}\r`));
  const token = backup.replication.runner.vcpu?.memoryToken;
  if (token === undefined) throw new Error('the backup has no machine');
  isPlanted = true;
  const memory = new GuestMemory({ token });
  const bytes = Buffer.from(memory.buffer);
  let places = 0;
  for (let at = bytes.indexOf(word); at >= 0; at = bytes.indexOf(word, at + 1)) {
    bytes[at] = (bytes[at] as number) ^ 1;
    places++;
  }
  memory.close();
  const begunMs = performance.now();
  const before = leader.replication.facts().position;
  const shown = shell(leader, 'cat /tmp/word; cat /tmp/word >/mnt/word; sync', /planted/);
  await backup.told('diverged');
  const toldMs = performance.now() - begunMs;
  const { position } = leader.replication.facts();
  const told = backup.events.find(({ code }) => code === 'DIVERGED');
  leader.is('soloing', { grant: null });
  leader.replication.syncStop();
  leader.is('solo');
  leader.replication.gate('open');
  await intoStep();
  const healedMs = performance.now() - begunMs;
  await shown;
  isPlanted = false;
  return `one bit in ${places} places, told ${position - before} positions and ${ms(toldMs)} later (${told?.text}), in step again ${ms(healedMs)} after it was planted`;
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
    await shell(a, `${make}; echo kept >/mnt/kept; sync; cat /mnt/kept`, /kept\r/);
    return '';
  });
  await step('200 processes, alone', async () => {
    const count = 'for i in 1 2 3 4 5 6 7 8 9 10; do';
    const make = `${count} ${count} busybox true; (true); done; done`;
    const begunMs = performance.now();
    await shell(a, make, /@/);
    return `${((performance.now() - begunMs) / 200).toFixed(1)} ms each`;
  });
  await step('it has a swap file and more to keep than memory', async () => {
    const make = `dd if=/dev/zero of=/mnt/swap bs=1M count=${SWAP_MIB} 2>/dev/null; busybox mkswap /mnt/swap >/dev/null`;
    await shell(a, `${make}; busybox swapon /mnt/swap && grep -c swap /proc/swaps`, /\r\n1\r/);
    const fill =
      'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do cat /bin/busybox; done >/tmp/big';
    await shell(a, `${fill}; md5sum </tmp/big >/mnt/big; cat /mnt/big`, /[0-9a-f]{32}/);
    return await underPressure(a);
  });
  let begunAt = 0n;
  await step('in step', async () => {
    begunAt = a.replication.facts().position;
    await intoStep();
    return JSON.stringify(a.replication.leading.lastSync);
  });
  for (let round = 1; round <= rounds; round++) {
    await step(`in step under pressure, ${round}`, () => underPressure(leader));
    // Every third round, so that both boards are killed in turn.
    if (round % 3 === 0) await step(`a hand-over under pressure, ${round}`, handedOver);
    else await step(`a takeover: the shell goes on, ${round}`, () => takenOver(round));
  }
  await step('a difference is planted, found and mended', plantDifference);
  await step('in step under pressure, at last', () => underPressure(leader));
  await step('the disks are equal at the end', async () => {
    const { position } = leader.replication.facts();
    await rig.stopBoth(leader, backup);
    if (!rig.disksAreEqual()) throw new Error('the disks differ');
    const { takeovers, handOvers, syncs, directions } = lived;
    return `position ${position}, ${position - begunAt} since it was in step first; ${takeovers} takeovers (${[...directions].join(', ')}), ${handOvers} hand-overs, ${syncs} sync-ups`;
  });
  end();
} catch (error) {
  end((error as Error).message.split('\n')[0]);
}

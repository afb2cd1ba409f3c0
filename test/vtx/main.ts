// The command behind `npm run test:vtx`: the hardware engine under emulated virtualisation, SVM by QEMU
// and VT-x by Bochs. Each boots an image of its own, runs test/vtx/inside.ts in it, and answers over the
// serial line; lines are passed on with the emulator's name. Ends with `N passed, N failed`.
//
//     npm run test:vtx -- [qemu] [bochs] [--scale N] [--modules FOLDER] [--parameters npt=0] [--only REGEXP] [--linux]
//         [--newer-qemu | --mended-qemu | --emulated-time] [--shadow] [--minutes N]
//     npm run test:vtx -- --boards small|linux|cost [--rounds N] --modules FOLDER   # in emulated time
//     npm run test:vtx -- --pmu ...   # by counted branches, on a Bochs with a PMU
//     npm run test:vtx -- ... --linux-log THOUSANDS   # a Linux recorded for so many positions, and replayed
import { type ChildProcess, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { DebianError } from '../guests/linux/debian.ts';
import { repoPath } from '../harness/index.ts';
import { knownOf, optionsOf } from '../harness/options.ts';
import { BOARDS_GUESTS, type BoardsPlan } from './boards-plan.ts';
import {
  BOCHS,
  bochsWithPmu,
  type Emulator,
  inEmulatedTime,
  mendedQemu,
  newerQemu,
  QEMU,
} from './emulators.ts';
import { type ImageOptions, vtxImage } from './image.ts';

interface Result {
  passed: number;
  failed: number;
}

/** Passes on what the machine says until it says it is done, or time is up. */
async function follow(emulator: Emulator, child: ChildProcess, serial: string): Promise<Result> {
  const result = { passed: 0, failed: 0 };
  const minutes = Number(values.minutes ?? emulator.minutesMax);
  const endMs = performance.now() + minutes * 60_000;
  let seen = 0;
  let ended = false;
  let isThrough = false;
  child.once('exit', () => {
    ended = true;
  });
  while (!isThrough && performance.now() < endMs) {
    const wasEnded = ended;
    const text = existsSync(serial) ? readFileSync(serial, 'latin1') : '';
    const whole = wasEnded ? text.length : text.lastIndexOf('\n') + 1;
    for (const raw of text.slice(seen, whole).split('\n')) {
      const line = raw.replace(/\r/g, '').trimEnd();
      if (/^(ok|not ok|#|1\.\.|\d+ passed| {2})/.test(line))
        console.log(`${emulator.name}: ${line}`);
      if (line.startsWith('ok ')) result.passed++;
      if (line.startsWith('not ok')) result.failed++;
      if (line.startsWith('# end')) isThrough = true;
      if (/^# end [^0]/.test(line) && result.failed === 0) result.failed++;
    }
    seen = whole;
    if (wasEnded) break;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  child.kill('SIGTERM');
  if (!isThrough) {
    result.failed++;
    console.log(
      `${emulator.name}: not ok - ${ended ? 'it ended by itself' : 'time is up'}: ${serial}`,
    );
  }
  return result;
}

async function run(emulator: Emulator, options: Partial<ImageOptions>): Promise<Result> {
  const missing = emulator.needs.filter((command) => spawnSync('which', [command]).status !== 0);
  if (missing.length > 0) {
    console.log(`${emulator.name}: skipped, needs ${missing.join(', ')}`);
    return { passed: 0, failed: 0 };
  }
  const scale = options.scale ?? emulator.scale;
  const say = (line: string) => console.log(`${emulator.name}: # ${line}`);
  const image = vtxImage(
    {
      ...{ module: emulator.module, emulator: emulator.name, scale, modules: options.modules },
      only: options.only ?? '',
      ...{ linux: options.linux, linuxLog: options.linuxLog, shadow: options.shadow },
      ...{ boards: options.boards, parameters: options.parameters },
    },
    say,
  );
  const folder = repoPath(`.cache/vtx/${emulator.name}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const { child, serial } = emulator.start(image, folder);
  return await follow(emulator, child, serial);
}

const COMMAND = 'npm run test:vtx';
/** With what makes a Linux exact there. */
const ofBoards = (guest: BoardsPlan['guest'], rounds: number): Partial<ImageOptions> => ({
  boards: { engine: 'vtx-exits', guest, rounds },
  parameters: 'npt=0',
});
const { values, positionals } = optionsOf(COMMAND, {
  allowPositionals: true,
  options: {
    scale: { type: 'string' },
    modules: { type: 'string' },
    only: { type: 'string' },
    linux: { type: 'boolean' },
    'linux-log': { type: 'string' },
    parameters: { type: 'string' },
    boards: { type: 'string' },
    rounds: { type: 'string' },
    shadow: { type: 'boolean' },
    pmu: { type: 'boolean' },
    'newer-qemu': { type: 'boolean' },
    'mended-qemu': { type: 'boolean' },
    'emulated-time': { type: 'boolean' },
    minutes: { type: 'string' },
  },
});
/** What a PMU is for; all the rest runs without one. */
const BY_BRANCHES = '^(this KVM|branches|counters|commissioning)';
const isPmu = values.pmu === true;
const note = (line: string) => console.log(`# ${line}`);
function qemu(): Emulator {
  if (values['emulated-time'] === true)
    return inEmulatedTime(values.linux ? 'swap' : 'tests', note);
  if (values['mended-qemu'] === true) return mendedQemu(note);
  return values['newer-qemu'] === true ? newerQemu(note) : QEMU;
}
const { boards } = values;
if (boards !== undefined) knownOf(COMMAND, [boards], BOARDS_GUESTS);
const guest = BOARDS_GUESTS.find((one) => one === boards);
const wanted = isPmu
  ? [bochsWithPmu(note)]
  : guest !== undefined
    ? [inEmulatedTime(guest, note)]
    : [qemu(), BOCHS].filter(
        ({ name }) => positionals.length === 0 || positionals.some((word) => name.startsWith(word)),
      );
const linuxLog = values['linux-log'] === undefined ? undefined : Number(values['linux-log']);
const scale = values.scale === undefined ? undefined : Number(values.scale);
const total: Result = { passed: 0, failed: 0 };
try {
  for (const emulator of wanted) {
    const options = scale === undefined ? {} : { scale };
    const { passed, failed } = await run(emulator, {
      ...options,
      ...{
        modules: values.modules,
        parameters: values.parameters,
        shadow: values.shadow,
        linuxLog,
      },
      ...{ only: values.only ?? (isPmu ? BY_BRANCHES : '') },
      ...(values.linux === true || linuxLog !== undefined
        ? { linux: isPmu ? ('vtx' as const) : ('vtx-exits' as const) }
        : {}),
      ...(guest === undefined ? {} : ofBoards(guest, Number(values.rounds ?? '2'))),
    });
    total.passed += passed;
    total.failed += failed;
  }
} catch (error) {
  if (!(error instanceof DebianError)) throw error;
  console.log(`skipped: ${error.message}`);
}
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;

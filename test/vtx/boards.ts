// What runs inside the emulated machine for `npm run test:vtx -- --boards`: two whole boards, `twinstep board`
// each in its namespaces, on the hardware engine, with a client through everything. Each round crashes the
// primary, hands over, and takes the log cable out and back in; so each board leads and follows in turn.
//
//     boards.js ENGINE small|linux ROUNDS KERNEL INITRD
import { readFileSync } from 'node:fs';
import { ENGINE_CHOICES, type EngineChoice } from '../../firmware/host/engine-kinds.ts';
import { linuxNeeds } from '../../firmware/host/exact-linux.ts';
import { probeKvm } from '../../native/index.ts';
import { PLANT_MIB, type PlantGuest, smallGuest } from '../guests/plant/plant.ts';
import { enterNamespace } from '../harness/netns.ts';
import { seededRandom } from '../harness/random.ts';
import { buildGuest } from '../softcpu/guest.ts';
import { faultNamed } from '../twin/faults.ts';
import { checkDisks } from '../twin/images.ts';
import { SIDES } from '../twin/network.ts';
import { TwinRig } from '../twin/rig.ts';
import { faultRound } from '../twin/round.ts';
import { SMALL_HZ } from './boards-plan.ts';
import { rates } from './boards-rates.ts';

/** One emulated processor is both boards, their supervisors and the client: each stands still while another computes. */
const LIMITS = `heartbeat-log-ms = 50
heartbeat-serial-ms = 200
heartbeat-front-ms = 100
silent-log-ms = 1500
silent-serial-ms = 1800
silent-front-ms = 1500
witness-probe-ms = 200
witness-silent-ms = 1500
stall-ms = 1000
seek-ms = 20000
leave-ms = 4000
death-ms = 2500
isolated-ms = 10000
`;
const FAULTS = ['crash of the primary', 'switch-over', 'log cable'] as const;
const CLIENT_LINE_MS = 50;
const FRAME_AGAIN_MS = 100;
const ANSWERS = 50;

const [wanted, kind = 'small', rounds = '1', kernel = '', initrd = ''] = process.argv.slice(2);
const engine: EngineChoice = ENGINE_CHOICES.find((choice) => choice === wanted) ?? 'auto';
const say = (line: string) => process.stdout.write(`${line}\n`);
const random = seededRandom('boards');
let steps = 0;

async function step<T>(name: string, body: () => Promise<[T, string]>): Promise<T> {
  const begunMs = performance.now();
  const [value, found] = await body();
  say(`ok ${++steps} - ${name} # ${found}${((performance.now() - begunMs) / 1000).toFixed(2)} s`);
  return value;
}

const linux: PlantGuest = {
  ...{ kind: 'linux', kernel, initrd, memoryMib: PLANT_MIB.memory, release: 'linux' },
};
const probe = probeKvm();
for (const line of probe.words) say(`# ${line}`);
for (const { area, isMet, found } of linuxNeeds(probe))
  say(`# ${area}: ${isMet ? 'exact' : 'not exact'}, ${found}`);

let rig: TwinRig | undefined;
await enterNamespace();

async function begin(): Promise<TwinRig> {
  const made = await TwinRig.make({
    guest: kind === 'linux' ? linux : { ...smallGuest(), kernel: buildGuest('plc', SMALL_HZ) },
    client: {
      kind: kind === 'linux' ? 'lines' : 'frames',
      ...{ lineMs: CLIENT_LINE_MS, againMs: FRAME_AGAIN_MS },
    },
    // Under QEMU's SVM XRSTOR refuses the frame of a signal that XSAVE wrote.
    ...{ engine, more: LIMITS, append: 'noxsave' },
    onRig: (early) => {
      rig = early;
    },
    onEvent: (side, { code, text }) => say(`# ${side} ${code} ${text}`),
  });
  await step('a board leads, the other one hears it', async () => {
    await made.begin();
    return [undefined, `${made.boards.a.status?.guest.engine.why}, `];
  });
  await step('the guest answers', async () => {
    await made.client.connect(300_000);
    return [undefined, ''];
  });
  await step('the guest alone', async () => [undefined, await rates(made, ANSWERS)]);
  await step('RUN-Redundant', async () => {
    await made.redundant(300_000);
    return [undefined, ''];
  });
  return made;
}

async function lives(made: TwinRig): Promise<void> {
  for (let round = 1; round <= Number(rounds); round++) {
    await step(`round ${round}: in step`, async () => [undefined, await rates(made, ANSWERS)]);
    for (const name of FAULTS)
      await step(`round ${round}: ${name}`, async () => {
        const before = made.primary;
        const found = await faultRound(made, faultNamed(name), random);
        const ms = (value: number) => `${value.toFixed(0)} ms`;
        return [
          undefined,
          `${before} to ${found.primary}, blackout ${ms(found.blackoutMs)} (usual gap ${ms(found.usualGapMs)}), ` +
            `in step after ${ms(found.redundantMs)}, longest gap until then ${ms(found.rejoinGapMs)}; `,
        ];
      });
  }
  await step('no divergence', async () => {
    const all = SIDES.flatMap((side) => readFileSync(made.boards[side].outputFile, 'utf8'));
    const diverged = all.join('').match(/"code":"DIVERGED".*/g) ?? [];
    if (diverged.length > 0) throw new Error(diverged.join('\n'));
    return [undefined, ''];
  });
  await step('disks are equal', async () => {
    if (kind === 'linux') {
      const { faults, records } = await checkDisks(made);
      if (faults.length > 0) throw new Error(faults.join('\n'));
      return [undefined, `${records} records of the journal, `];
    }
    const [a, b] = SIDES.map((side) => readFileSync(made.boards[side].disks.files));
    if (a === undefined || b === undefined || !a.equals(b)) throw new Error('they differ');
    return [undefined, ''];
  });
}

let failed = 0;
try {
  await lives(await begin());
} catch (error) {
  failed = 1;
  say(`not ok ${++steps} - ${(error as Error).message.split('\n')[0]}`);
  for (const line of (error as Error).message.split('\n').slice(1)) say(`  ${line}`);
}
say(`1..${steps}`);
say(`${steps - failed} passed, ${failed} failed`);
await rig?.close();
process.exit(failed);

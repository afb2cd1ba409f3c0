// The command behind `npm run test:boards`: two emulated appliances, one after the other of the faults.
//   --engine ENGINE   of the guest, as in [guest]; vtx-exits: the emulated processors have SVM, KVM our patch
//   --smoke     power cut of the primary alone     FAULT...   these, in this order     --list   says the ids
//   --starts    starts without a carrier on the log card, and nothing that needs a pair in step
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ENGINE_CHOICES } from '../../firmware/host/engine-kinds.ts';
import { appliance } from '../appliance/appliance.ts';
import { hasQemu } from '../appliance/machine.ts';
import { CACHE } from '../appliance/parts.ts';
import { DebianError } from '../guests/linux/debian.ts';
import { needs } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { knownOf, optionsOf } from '../harness/options.ts';
import { newerQemuCommand } from '../vtx/emulators.ts';
import { exactness } from './exact.ts';
import { FAULTS, type Fault } from './faults.ts';
import { BoardsRig } from './rig.ts';
import { starts } from './starts.ts';
import { type Row, table, tell } from './story.ts';

const COMMAND = 'npm run test:boards';
const FLAG = { type: 'boolean', default: false } as const;
const folder = join(CACHE, 'boards');

function faultOf(id: string): Fault {
  const fault = FAULTS.find((known) => known.id === id);
  if (fault === undefined) throw new Error(`there is no fault "${id}": see --list`);
  return fault;
}

/** The others are tried all the same. */
function notAsItMust({ name: fault }: Fault, error: Error): Row {
  console.error(error.message);
  const why = error.message.split('\n')[0] ?? '';
  return {
    fault,
    client: '',
    console: '',
    scada: '',
    inStepAgainS: null,
    faults: [`NOT SHOWN: ${why}`],
  };
}

async function onlyStarts(rig: BoardsRig): Promise<number> {
  try {
    await starts(rig, (words) => console.log(words));
    console.log('All of this was seen in this run.');
    return 0;
  } catch (error) {
    console.error(error);
    console.log('NOT well: see above.');
    return 1;
  } finally {
    await rig.close();
  }
}

async function main(): Promise<number> {
  const { values, positionals } = optionsOf(COMMAND, {
    allowPositionals: true,
    options: { engine: { type: 'string' }, smoke: FLAG, starts: FLAG, list: FLAG },
  });
  if (values.list) {
    for (const { id, name } of FAULTS) console.log(`${id.padEnd(10)} ${name}`);
    return 0;
  }
  const known = FAULTS.map(({ id }) => id);
  const ids = values.smoke ? ['power'] : knownOf(COMMAND, positionals, known);
  const faults = ids.length === 0 ? FAULTS : ids.map(faultOf);
  const engine = ENGINE_CHOICES.find(
    (choice) => choice === knownOf(COMMAND, [values.engine ?? 'soft'], ENGINE_CHOICES)[0],
  );
  const isForHardware = engine !== 'soft';
  const note = (words: string) => console.error(words);
  // Packages come from an archive: there is none in the namespace.
  const made = appliance(note, { isForHardware });
  const qemu = isForHardware ? newerQemuCommand(note) : undefined;
  await enterNamespace();
  for (const { met, why } of [
    { met: hasQemu(), why: 'needs qemu-system-x86_64 (Debian: qemu-system-x86)' },
    needs.networkNamespaces(),
    needs.device('/dev/net/tun'),
  ]) {
    if (met) continue;
    console.log(`not run: ${why}`);
    return 0;
  }
  console.log(`Not the real image: ${made.differences}`);
  mkdirSync(folder, { recursive: true });
  const rig = await BoardsRig.make({ made, folder, engine, qemu });
  if (values.starts) return await onlyStarts(rig);
  const rows: Row[] = [];
  let isWell = true;
  try {
    const say = (words: string) => console.log(words);
    await rig.begin(say, async () => {
      if (isForHardware) await exactness(rig, say);
    });
    for (const fault of faults) {
      const row = await tell(rig, fault).catch((error: Error) => notAsItMust(fault, error));
      rows.push(row);
      console.log(`${rig.seconds()} ${table([row]).split('\n').at(-1)}`);
      writeFileSync(join(folder, 'table.md'), `${table(rows)}\n`);
      isWell &&= row.faults.length === 0;
      if (row.faults.length > 0) await rig.recover();
    }
  } catch (error) {
    console.error(error);
    isWell = false;
  } finally {
    await rig.close();
  }
  const text = table(rows);
  console.log(`\n${text}\n`);
  console.log(isWell ? 'All of this was seen in this run.' : 'NOT well: see above.');
  return isWell ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof DebianError)) throw error;
  console.error(`test:boards: ${error.message}`);
  process.exitCode = 1;
}

// Each fault that matches, by itself: what works, before all of them run on one twin.
import { seededRandom } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { Chaos } from './chaos.ts';
import { FAULTS } from './faults.ts';
import { plantOrWhy } from './plant-guest.ts';

const { guest } = plantOrWhy();
await enterNamespace();
const random = seededRandom();
let chaos: Chaos | undefined;
const bad: string[] = [];
for (const fault of FAULTS.filter(({ name }) => RegExp(process.argv[2] ?? '').test(name))) {
  const t0 = performance.now();
  try {
    chaos ??= await Chaos.start(guest!);
    const r = await chaos.round(fault, random);
    console.log(
      'ok  ',
      fault.name,
      r.blackoutMs.toFixed(0),
      (r.redundantMs / 1000).toFixed(1),
      r.tookOver ? 'takeover' : '',
      r.restarted ? 'restarted' : '',
    );
  } catch (error) {
    bad.push(fault.name);
    console.log(
      'FAIL',
      fault.name,
      ((performance.now() - t0) / 1000).toFixed(1),
      (error as Error).message.split('\n')[0],
      chaos?.rig.boards.a.status?.role,
      chaos?.rig.boards.b.status?.role,
    );
    if (chaos !== undefined) {
      const kept = chaos.rig.keep();
      const { cpSync } = await import('node:fs');
      cpSync(kept, `${kept}-${fault.name.replaceAll(/[^a-z]+/g, '-')}`, { recursive: true });
    }
    await chaos?.close();
    chaos = undefined;
  }
}
if (chaos !== undefined) {
  console.log(await chaos.disks());
  console.log(await chaos.talkers());
  chaos.rig.keep();
  await chaos.close();
}
console.log('bad', bad);
process.exit(0);

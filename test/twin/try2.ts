import { enterNamespace } from '../harness/netns.ts';
import { Capture } from './capture.ts';
import { Chaos } from './chaos.ts';
import { plantOrWhy } from './plant-guest.ts';
const { guest } = plantOrWhy();
await enterNamespace();
const chaos = await Chaos.start(guest!);
const { rig } = chaos;
const p = rig.primary!;
await rig.network.spoil('front', p, { lost: 'out' });
const cap = await Capture.start({ file: '/tmp/cap', ports: [`front-${p}`, `front-${p}-x`] });
for (let i = 0; i < 6; i++) {
  await new Promise((r) => setTimeout(r, 500));
  const s = rig.boards[p].status!;
  console.log(p, s.role, JSON.stringify(s.witness), JSON.stringify(s.paths.front));
}
const f = (await cap.read()).filter((x) => x.frame.readUInt16BE(12) === 0x806);
const count: Record<string, number> = {};
for (const { port, frame } of f) {
  const k = `${port} op ${frame.readUInt16BE(20)} from ${frame.subarray(6, 12).toString('hex')} ${[...frame.subarray(28, 32)].join('.')} for ${[...frame.subarray(38, 42)].join('.')}`;
  count[k] = (count[k] ?? 0) + 1;
}
console.log(count);
await chaos.close();
process.exit(0);

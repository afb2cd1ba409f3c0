// What a board whose guest will run on the hardware engine says of itself after it has booted: the parameters its KVM
// took, read back; what `doctor` finds; what the console shows. For a Linux to be in step all of it must be exact.
import type { Finding } from '../../firmware/cli/doctor-finding.ts';
import type { Machine } from '../appliance/machine.ts';
import { SIDES, type Side } from '../twin/network.ts';
import type { BoardsRig } from './rig.ts';

const DOCTOR_MS = 120_000;
/** The modules' own defaults are nested paging: what is off was switched off by /etc/modprobe.d. */
const PARAMETERS = 'cd /sys/module && grep . kvm_amd/parameters/npt kvm_intel/parameters/ept';
/** `positions` are the engine's that was asked for by name. */
const NEEDED: readonly Finding['area'][] = ['guest time', 'page tables'];
const TOLD: readonly Finding['area'][] = ['engine', 'positions', ...NEEDED];

/** Of both boards, in words. Throws at what is not exact. */
export async function exactness(rig: BoardsRig, say: (words: string) => void): Promise<void> {
  await Promise.all(SIDES.map((side) => exactOn(rig, side, say)));
}

async function exactOn(rig: BoardsRig, side: Side, say: (words: string) => void): Promise<void> {
  const { machine } = rig.boards[side];
  const told = (words: string) => say(`${rig.seconds()} ${side}: ${words}`);
  const parameters = (await machine.shell(`${PARAMETERS} 2>/dev/null || :`)).trim();
  told(`read back: ${parameters.replaceAll('\n', ', ') || 'no KVM module'}`);
  const findings = await doctor(machine);
  for (const { area, verdict, found } of findings) told(`doctor: ${area}: ${verdict}, ${found}`);
  const shown = await rig.technician(side).command('show guest');
  const engine = (/^engine[\s\S]*?(?=^\S)/m.exec(shown)?.[0] ?? shown).replace(/\s+/g, ' ');
  told(`show guest: ${engine}`);
  const isOk = (area: string) => findings.some((one) => one.area === area && one.verdict === 'ok');
  if (!NEEDED.every(isOk) || !/hardware/.test(engine) || /not exact/.test(engine))
    throw new Error(`${side} is not exact for Linux: see above`);
}

/** Of the engine. It ends with an error where anything fails, and much is not named here. */
async function doctor(machine: Machine): Promise<Finding[]> {
  const said = await machine.shell('twinstep doctor --json || :', DOCTOR_MS);
  const all = JSON.parse(said.slice(said.indexOf('['))) as Finding[];
  return all.filter(({ area }) => TOLD.includes(area));
}

// The shell of a Linux on two boards, on whichever of them it is.
import { assert } from '../../harness/index.ts';
import type { Rig, TestBoard } from './rig.ts';

export const LINUX_APPEND =
  'console=ttyS0 acpi=off noapic nolapic quiet reboot=k twinstep.run=shell';

let asked = 0;

/** What a command printed; it must succeed. */
export async function shellOf(rig: Rig, board: TestBoard, command: string): Promise<string> {
  const { plant } = rig;
  const from = plant.text.length;
  const name = `q${++asked}`;
  plant.type(`${command}; echo "@"${name} $?\n`);
  const end = new RegExp(`@${name} (\\d+)`);
  await board.until(() => end.test(plant.text.slice(from)));
  const said = plant.text.slice(from);
  assert.is(end.exec(said)![1], '0', `${command}: ${said}`);
  return said;
}

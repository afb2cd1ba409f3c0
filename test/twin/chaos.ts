// Many faults on one twin, one connection through all of them: what `npm test` does in small and the long
// suite at length. A seed gives the same order of faults.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BoardEvent } from '../../firmware/board/events.ts';
import type { PlantGuest } from '../guests/plant/plant.ts';
import type { SeededRandom } from '../harness/index.ts';
import { Capture } from './capture.ts';
import type { Fault } from './fault.ts';
import { checkDisks, type DiskVerdict } from './images.ts';
import { earshot, GUEST_MAC, SIDES, type Side } from './network.ts';
import { type RigOptions, TwinRig } from './rig.ts';
import { faultRound, type RoundResult } from './round.ts';
import { reigns, type Talking, talking } from './talkers.ts';

const TALKER_BYTES = 60;
/**
 * For machines that others use as well: a board that is not scheduled for 50 ms is not dead. What the
 * twin does is the same; how soon it does it is measured with the usual limits (test/bench).
 */
export const PATIENT = `silent-log-ms = 150
silent-front-ms = 150
silent-serial-ms = 200
witness-silent-ms = 150
stall-ms = 100
`;

const LARGE_BYTES = 20 * 2 ** 30;

export class Chaos {
  readonly guest: PlantGuest;
  readonly rig: TwinRig;
  readonly results: RoundResult[] = [];
  private readonly capture: Capture;
  private readonly folder: string;

  private constructor(guest: PlantGuest, rig: TwinRig, capture: Capture, folder: string) {
    this.guest = guest;
    this.rig = rig;
    this.capture = capture;
    this.folder = folder;
  }

  /** A pair in step with a client on it. Needs a network namespace of its own. */
  static async start(guest: PlantGuest, options: Omit<RigOptions, 'guest'> = {}): Promise<Chaos> {
    const client = { lineMs: 10, kind: guest.kind === 'linux' ? 'lines' : 'frames' } as const;
    // Of plant size, and nearly all holes. The small guest has no use for more disks than it knows.
    const large = guest.kind === 'linux' ? { largeBytes: LARGE_BYTES } : {};
    const rig = await TwinRig.make({ guest, client, more: PATIENT, ...large, ...options });
    const folder = mkdtempSync(join(tmpdir(), 'twinstep-capture-'));
    try {
      const ports = SIDES.map((side) => earshot('front', side));
      const file = join(folder, 'front');
      const source = GUEST_MAC;
      const capture = await Capture.start({ file, ports, source, bytesMax: TALKER_BYTES });
      await rig.begin();
      await rig.client.connect();
      await rig.redundant();
      return new Chaos(guest, rig, capture, folder);
    } catch (error) {
      console.log(`what the boards told: ${rig.keep()}`);
      await rig.close();
      throw error;
    }
  }

  async round(fault: Fault, random: SeededRandom): Promise<RoundResult> {
    const result = await faultRound(this.rig, fault, random);
    this.results.push(result);
    return result;
  }

  /** The disks of both, while the guest keeps still. */
  async disks(): Promise<DiskVerdict> {
    await this.rig.redundant();
    return await checkDisks(this.rig);
  }

  async talkers(): Promise<Talking> {
    const told = (side: Side) => toldEvents(this.rig.boards[side].outputFile);
    return talking(await this.capture.read(), reigns({ a: told('a'), b: told('b') }));
  }

  async close(): Promise<void> {
    this.capture.close();
    await this.rig.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Everything a board ever told, over all its lives: the lines it wrote. */
export function toldEvents(file: string): BoardEvent[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{"seq"') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as BoardEvent);
}

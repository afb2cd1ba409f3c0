// What the demo tells, and what it can prove of it: two boards come into step around a running Linux, then one
// thing after another goes wrong while a client counts. Knows nothing of screens.
import type { BoardEvent } from '../../firmware/board/events.ts';
import { seededRandom } from '../harness/index.ts';
import type { Chaos } from './chaos.ts';
import { faultNamed } from './faults.ts';
import type { DiskVerdict } from './images.ts';
import { SIDES, type Side } from './network.ts';
import type { RoundResult } from './round.ts';
import type { Talking } from './talkers.ts';

/** In the order of the telling: the fault, and how it is said to somebody who sees it for the first time. */
export const CHAPTERS = [
  { fault: 'crash of the primary', words: 'the primary crashes (kill -9)' },
  { fault: 'switch-over', words: 'a planned switch-over' },
  { fault: 'log cable, with another way for the log', words: 'the log cable is pulled' },
  { fault: 'hang of the primary', words: 'the primary hangs (SIGSTOP), its watchdog ends it' },
  { fault: 'power cut of the primary', words: 'the primary loses its power' },
] as const;

export interface Chapter {
  readonly words: string;
  /** Undefined: not told yet. */
  result?: RoundResult;
  failure?: string;
}

export interface ScadaHeard {
  readonly broker: string;
  readonly births: number;
  readonly deaths: number;
  /** From the board's own word to SCADA's knowing, of each change of state. */
  readonly afterMs: readonly number[];
}

export interface SyncUp {
  readonly pauseMs: number;
  readonly totalMs: number;
}

export class Story {
  readonly chapters: Chapter[] = CHAPTERS.map(({ words }) => ({ words }));
  /** What happens now, for people. */
  now = 'starting';
  disks: DiskVerdict | undefined;
  talking: Talking | undefined;
  readonly syncUps: SyncUp[] = [];
  /** Log rates seen while in step, kbit/s. */
  readonly logKbps: number[] = [];
  /** What a SCADA host on the plant LAN heard. */
  scada: ScadaHeard | undefined;
  /** Anything that is not as it must be. */
  readonly failures: string[] = [];
  /** Called at every change of `now`. */
  onStep: (words: string) => void = () => {};

  event(_side: Side, { code, data }: BoardEvent): void {
    const { pauseMs, totalMs } = data;
    if (code === 'SYNC-DONE' && typeof pauseMs === 'number' && typeof totalMs === 'number')
      this.syncUps.push({ pauseMs, totalMs });
  }

  step(words: string): void {
    this.now = words;
    this.onStep(words);
  }

  /** Everything after the pair came into step. A chapter that fails ends the telling. */
  async tell(chaos: Chaos): Promise<void> {
    const random = seededRandom();
    for (const [i, { fault, words }] of CHAPTERS.entries()) {
      const chapter = this.chapters[i]!;
      this.step(words);
      const { rig } = chaos;
      const kbps = rig.primary === undefined ? 0 : (rig.boards[rig.primary].status?.logKbps ?? 0);
      if (kbps > 0) this.logKbps.push(kbps);
      try {
        chapter.result = await chaos.round(faultNamed(fault), random);
      } catch (error) {
        chapter.failure = (error as Error).message;
        this.failures.push(`${words}: ${chapter.failure.split('\n')[0]}`);
        return;
      }
    }
    // The small guest checks what it reads from its disk by itself, and does not hold still.
    if (chaos.guest.kind === 'linux') {
      this.step('the disks of both boards are compared');
      this.disks = await chaos.disks();
      this.failures.push(...this.disks.faults);
    }
    this.talking = await chaos.talkers();
    this.failures.push(...this.talking.faults, ...chaos.rig.client.faults);
    if (chaos.rig.client.connections !== 1) this.failures.push('more than one connection');
    await this.askScada(chaos);
    this.step('done');
  }

  /** It must end with what both boards say of themselves. */
  private async askScada({ rig }: Chaos): Promise<void> {
    const { scada } = rig;
    if (scada === undefined) return;
    this.step('SCADA is asked what it knows');
    for (const side of SIDES) await scada.says(side, 'RUN-Redundant');
    this.failures.push(...scada.unpaid);
    const { counts, told, brokerName: broker } = scada;
    const afterMs = told.map((one) => one.afterMs);
    this.scada = { broker, births: counts.NBIRTH, deaths: counts.NDEATH, afterMs };
  }
}

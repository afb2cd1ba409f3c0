// One fault as a story: what it was, and what client, console and SCADA saw of it.

import type { WindowFacts } from '../twin/client.ts';
import { SIDES } from '../twin/network.ts';
import type { Fault, Scene } from './faults.ts';
import type { BoardsRig } from './rig.ts';

export interface Row {
  readonly fault: string;
  readonly client: string;
  readonly console: string;
  readonly scada: string;
  readonly inStepAgainS: number | null;
  readonly faults: readonly string[];
}

/** Answers after which the client counts as served again. */
const ENOUGH = 10;
const ANSWERS_MS = 120_000;

export interface Seen {
  readonly scene: Scene;
  readonly startMs: number;
  /** Undefined: the guest ended with the fault, and so did its client. */
  readonly facts: WindowFacts | undefined;
  readonly prompts: string;
  /** What the client was told wrong. */
  readonly faults: readonly string[];
}

/** Out of RUN-Redundant into the fault, up to the client being served again. */
export async function seen(rig: BoardsRig, fault: Fault): Promise<Seen> {
  const primary = await rig.redundant();
  const scene: Scene = {
    rig,
    primary,
    backup: primary === 'a' ? 'b' : 'a',
    from: { a: rig.boards.a.events.length, b: rig.boards.b.events.length },
  };
  const { client } = rig;
  rig.scada?.forget();
  await client.window();
  const startMs = performance.now();
  await fault.happen(scene);
  const facts = fault.endsGuest ? undefined : await client.answers(ENOUGH, ANSWERS_MS);
  const prompts = await promptsOf(rig);
  return { scene, startMs, facts, prompts, faults: client.faults.splice(0) };
}

/** And back into RUN-Redundant. */
export async function tell(rig: BoardsRig, fault: Fault): Promise<Row> {
  const { scene, startMs, facts, prompts, faults } = await seen(rig, fault);
  await fault.mend?.(scene);
  await rig.redundant();
  const inStepAgainS = (performance.now() - startMs) / 1000;
  const after = await rig.client.answers(ENOUGH, ANSWERS_MS);
  const ms = (gap: number | undefined): string => (gap ?? 0).toFixed(0);
  return {
    fault: fault.name,
    client:
      facts === undefined
        ? 'served again by the guest started anew'
        : `pause ${ms(facts.longestGapMs)} ms; ${ms(after.longestGapMs)} ms until in step again`,
    console: prompts,
    scada: rig.scada?.words() ?? 'no broker here',
    inStepAgainS,
    faults: [...faults, ...rig.client.faults.splice(0)],
  };
}

/** What a technician who presses Enter reads, on each board that has somebody to read it. */
async function promptsOf(rig: BoardsRig): Promise<string> {
  const words: string[] = [];
  for (const side of SIDES) {
    const board = rig.boards[side];
    if (!board.isOn || board.role === '' || board.technician?.isThere !== true) continue;
    words.push(await board.technician.prompt().catch(() => `emulated-${side} does not answer`));
  }
  return words.join('; ') || 'nobody is there';
}

export function table(rows: readonly Row[]): string {
  const lines = rows.map(({ fault, client, console, scada, inStepAgainS, faults }) => {
    const lost = faults.length === 0 ? 'nothing lost' : faults.join(', ');
    return `| ${fault} | ${client}; ${lost} | ${console} | ${scada} | ${inStepAgainS?.toFixed(0) ?? '-'} |`;
  });
  return [
    '| fault | the client | the console, when it was over | SCADA, in order | in step again, s |',
    '| --- | --- | --- | --- | --- |',
    ...lines,
  ].join('\n');
}

// What a pair on the hardware engine does in a while of ordinary service: positions of the guest a second (at exits
// each is one), bits of log, and what a client waits.
import type { TwinRig } from '../twin/rig.ts';

export async function rates(rig: TwinRig, answers: number): Promise<string> {
  const primary = rig.primary;
  if (primary === undefined) throw new Error('nobody leads');
  const board = rig.boards[primary];
  await rig.client.window();
  const [before, beginMs] = [await board.askStatus(), performance.now()];
  const { latenciesMs, longestGapMs } = await rig.client.answers(answers, 120_000);
  const [after, endMs] = [await board.askStatus(), performance.now()];
  const seconds = (endMs - beginMs) / 1000;
  const positions = Number(BigInt(after.guest.position) - BigInt(before.guest.position));
  const sorted = [...latenciesMs].sort((a, b) => a - b);
  const p50 = sorted[sorted.length >> 1] ?? 0;
  return (
    `${(positions / seconds).toFixed(0)} positions/s, log ${after.logKbps} kbit/s, ` +
    `answers p50 ${p50.toFixed(1)} ms, longest gap ${longestGapMs.toFixed(0)} ms; `
  );
}

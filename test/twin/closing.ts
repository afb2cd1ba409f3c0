// The table at the end of the demo: what was measured, and what was verified.
import type { Story } from './story.ts';

export function closingTable({
  chapters,
  disks,
  talking,
  syncUps,
  logKbps,
  scada,
  failures,
}: Story): string {
  const head = `${'what happened'.padEnd(52)} ${'blackout ms'.padStart(11)} ${'in step again s'.padStart(15)} ${'bytes lost'.padStart(10)}`;
  const rows = chapters.map(({ words, result, failure }) => {
    if (result === undefined)
      return `${words.padEnd(52)} ${failure === undefined ? 'not told' : 'FAILED'}`;
    const step = (result.redundantMs / 1000).toFixed(1);
    const pause = result.blackoutMs.toFixed(0);
    // There is no result of a round in which the client was told anything wrong.
    return `${words.padEnd(52)} ${pause.padStart(11)} ${step.padStart(15)} ${'0'.padStart(10)}`;
  });
  const lines = [head, ...rows, ''];
  const usual = chapters.flatMap(({ result }) => (result === undefined ? [] : [result.usualGapMs]));
  if (usual.length > 0)
    lines.push(`longest pause between answers without a fault: ${most(usual)} ms`);
  const rejoins = chapters.flatMap(({ result }) =>
    result === undefined ? [] : [result.rejoinGapMs],
  );
  if (rejoins.length > 0)
    lines.push(`the same while a board came back into step: ${most(rejoins)} ms`);
  if (logKbps.length > 0) lines.push(`log rate with this client: ${most(logKbps)} kbit/s`);
  if (syncUps.length > 0)
    lines.push(
      `sync-up: ${syncUps.length} times, longest ${(Math.max(...syncUps.map(({ totalMs }) => totalMs)) / 1000).toFixed(1)} s, the guest paused ${most(syncUps.map(({ pauseMs }) => pauseMs))} ms at most`,
    );
  if (disks !== undefined && disks.faults.length === 0)
    lines.push(
      `disks: equal on both boards; ${disks.records} journal records whole; file system checked by ${disks.checkedBy}`,
    );
  if (talking !== undefined && talking.faults.length === 0)
    lines.push(`plant LAN: ${talking.frames} frames of the guest, never from two boards at a time`);
  if (scada !== undefined)
    lines.push(
      `SCADA (${scada.broker}): ${scada.births} births, ${scada.deaths} deaths, ${scada.afterMs.length} changes of state, known ${most(scada.afterMs)} ms after the board at most`,
    );
  lines.push('');
  lines.push(
    failures.length === 0
      ? 'All of this was verified in this run.'
      : `NOT AS IT MUST BE:\n${failures.map((words) => `  ${words}`).join('\n')}`,
  );
  return lines.join('\n');
}

function most(values: readonly number[]): string {
  return Math.max(...values).toFixed(0);
}

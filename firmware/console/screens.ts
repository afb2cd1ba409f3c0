// What the other `show` commands print, each from what the board answered. Pure.

import type { AlarmChange } from '../board/alarms/book.ts';
import { masked } from '../board/config/mask.ts';
import type { BoardEvent } from '../board/events.ts';
import type { LogPathState, LogPathStatus } from '../board/log-paths.ts';
import { PATH_WORDS } from '../board/notices.ts';
import type { GuestClockFacts, NetFacts } from '../board/replication/types.ts';
import type { AlarmView, Status } from '../board/status.ts';
import { ENGINES } from '../host/engine-kinds.ts';
import { clip, wrap } from './ascii.ts';
import type { ConfigText } from './needs.ts';
import { row, sides, span, timeOf, wrapped } from './status-screen.ts';

const COLUMNS = 80;

export function eventLine({ wallMs, code, severity, text }: BoardEvent): string {
  const mark = severity === 'info' ? '' : `${severity.toUpperCase()} `;
  return wrap(`${timeOf(wallMs).slice(5, 19)} ${mark}${code}: ${text}`, COLUMNS, 15).join('\n');
}

export function linksScreen(status: Status): string {
  const { paths, link, witness, lagMs, logKbps } = status;
  const head = `${'path'.padEnd(13)}${'state'.padEnd(10)}${'heard'.padEnd(12)}${'there'.padEnd(8)}sent / accepted / rejected`;
  const rows = (['log', 'serial', 'front'] as const).map((path) => {
    const { state, heardMs, peerHears, sent, accepted, rejected } = paths[path];
    const heard = heardMs === null ? 'never' : heardMs < 1000 ? `${heardMs} ms` : span(heardMs);
    const there = peerHears === null ? '?' : peerHears ? 'heard' : 'NOT';
    return `${PATH_WORDS[path].padEnd(13)}${state.padEnd(10)}${heard.padEnd(12)}${there.padEnd(8)}${sent} / ${accepted} / ${rejected}`;
  });
  const gateway =
    witness.kind === 'none'
      ? 'none'
      : `${witness.address} ${witness.answers ? 'answers' : 'DOES NOT ANSWER'}`;
  return [
    head,
    ...rows,
    row('log link', link.up ? `up, round trip ${link.rttUs.toFixed(0)} us` : 'DOWN'),
    ...logPathRows(link.paths),
    row('log', `${logKbps.toFixed(0)} kbit/s`),
    row('backup', lagMs === null ? 'none' : `${lagMs.toFixed(1)} ms behind`),
    row('gateway', gateway),
    '',
  ].join('\n');
}

const LOG_PATH_WORDS: Readonly<Record<LogPathState, string>> = {
  'in-use': 'in use',
  ready: 'ready',
  'no-carrier': 'NO CARRIER',
  'no-answer': 'NO ANSWER',
  unknown: '?',
};

/** Each way of the log, and what would happen if it went now. */
function logPathRows(paths: readonly LogPathStatus[]): string[] {
  return paths.flatMap(({ name, state, trouble, rttUs, sharePercent, ifLost }) => {
    const rtt = rttUs === null ? '' : `${rttUs.toFixed(0)} us`;
    const share = `${sharePercent.toFixed(0)} % of the log`;
    const head = `  ${name.padEnd(16)}${LOG_PATH_WORDS[state].padEnd(12)}${rtt.padEnd(10)}${share}`;
    const why = trouble === null ? [] : [`    ${trouble}`];
    return [head, ...why, `    if it went now: ${ifLost}`].map((line) => clip(line, COLUMNS));
  });
}

export function redundancyScreen({ redundancy, pairState }: Status): string {
  const { words, faults } = redundancy;
  const lines = faults.map(
    ({ what, survived, why }) =>
      `${survived ? 'survived' : 'NOT     '}  ${what}${why === null ? '' : `: ${why}`}`,
  );
  const inStep = pairState === 'RUN-Redundant';
  const head = `${inStep ? 'In step' : 'NOT REDUNDANT'} (${pairState}); ${words}.`;
  return [...wrap(head, COLUMNS, 2), '', ...lines, ''].join('\n');
}

export function guestScreen({ guest, gate, disks, nets, role }: Status): string {
  const virtualMs = Number(BigInt(guest.virtualNs) / 1_000_000n);
  return [
    row('state', `${guest.state} (this board: ${role})`),
    row('up', `${span(virtualMs)} of its own time, life ${guest.lives}`),
    row('clock', clockWords(guest.clock)),
    row('position', `${guest.position} ${ENGINES[guest.engine.kind].unit.many}`),
    ...wrapped('engine', `${ENGINES[guest.engine.kind].words}: ${guest.engine.why}`),
    row('output', `gate ${gate.mode}, ${gate.waiting} waiting`),
    row('disks', `${disks.length}`),
    ...nets.map((net) => row('network', netWords(net))),
    '',
  ].join('\n');
}

/** Against real time as it has passed since the guest's power-on. */
function clockWords({ offMs, worstMs, peerErrorMs }: GuestClockFacts): string {
  const worst = worstMs === null ? '' : `, at worst ${sides(worstMs)}`;
  const now = offMs === null ? 'kept by the board that leads' : `${sides(offMs)}${worst}`;
  const known =
    peerErrorMs === null ? 'not known' : `known to ${Math.max(0.1, peerErrorMs).toFixed(1)} ms`;
  return `${now}; that of the other board ${known}`;
}

function netWords({ tap, dropped, groupDropped, isStorm, droppedPerS, source }: NetFacts): string {
  if (dropped === 0) return `${tap}, nothing dropped`;
  const now = isStorm ? `FLOODED, ${droppedPerS} a second now; ` : '';
  return `${tap}, ${now}dropped ${dropped}, ${groupDropped} of them broadcast; most from ${source}`;
}

export function disksScreen({ disks, record, health }: Status): string {
  const rows = disks.map(
    ({ path, trouble }) =>
      `${trouble === null ? 'ok    ' : 'FAILED'} ${path}${trouble === null ? '' : `: ${trouble}`}`,
  );
  return [
    ...(rows.length === 0 ? ['the guest has no disks'] : rows),
    row('record', `generation ${record.generation}, ${record.standing}`),
    row('health', health.ok ? 'fit' : health.words.join('; ')),
    '',
  ].join('\n');
}

export function alarmsScreen(
  alarms: readonly AlarmView[],
  history: readonly AlarmChange[],
): string {
  const rows = alarms.flatMap(({ code, severity, text, sinceMs, count, active, acked }) => [
    `${severity.toUpperCase().padEnd(9)}${code}`,
    ...wrap(`         ${text}`, COLUMNS - 9).map((line) => `         ${line}`),
    `         since ${timeOf(sinceMs)}, ${count} time${count === 1 ? '' : 's'}, ${active ? 'lasts' : 'happened'}, ${acked === null ? 'NOT acknowledged' : `seen by ${acked.by}`}`,
  ]);
  const past = history.map(
    ({ wallMs, what, code, by }) =>
      `${timeOf(wallMs)}  ${what.padEnd(8)}${code}${by === undefined ? '' : ` by ${by}`}`,
  );
  return [
    ...(rows.length === 0 ? ['no alarms'] : rows),
    ...(past.length === 0 ? [] : ['', 'History, the newest last:', ...past]),
    '',
  ].join('\n');
}

export function versionsScreen(status: Status, console: string): string {
  const { versions, config, peer, board } = status;
  const there = peer?.about ?? null;
  const name = there === null ? 'other' : there.name;
  const head = `${''.padEnd(13)}${board.name.padEnd(33)}${name}`;
  const pair = (label: string, here: string, other: string) =>
    `${label.padEnd(13)}${here.padEnd(33)}${other}`.trimEnd();
  return [
    head,
    pair('firmware', versions.firmware, there?.firmware ?? 'has not said'),
    pair('runs with', versionWords(config?.running), there === null ? '' : versionWords(there)),
    pair('its file', versionWords(config?.file), ''),
    pair('console', console, ''),
    pair('start', `number ${board.boot}, ${span(board.upMs)} ago`, ''),
    '',
    ...wrap(verdictOfVersions(status), COLUMNS),
    '',
  ].join('\n');
}

function versionWords(version: { hash: string; changedMs: number } | null | undefined): string {
  if (version === undefined || version === null) return 'none';
  return `${version.hash.slice(0, 8)} of ${timeOf(version.changedMs).slice(0, 19)}`;
}

/** Two files are never equal (names, addresses), so what must be is compared. */
function verdictOfVersions({ versions, config, peer, sync }: Status): string {
  const there = peer?.about ?? null;
  const sentences: string[] = [];
  if (sync.phase === 'refused')
    sentences.push(`The boards DO NOT FIT: ${sync.refusals.join('; ')}.`);
  if (there === null) sentences.push('The other board has not said what it runs.');
  else {
    const isSame = there.firmware === versions.firmware;
    sentences.push(isSame ? 'Both run the same firmware.' : 'The boards run DIFFERENT FIRMWARE.');
    const isEqual = there.pairHash === config?.running.pairHash;
    sentences.push(
      isEqual
        ? 'What both configurations must share is equal.'
        : 'What both configurations must share DIFFERS: compare "show config" on both.',
    );
    if (peer?.isHeard !== true) sentences.push('The other board is silent now.');
  }
  if (config !== null && config.file?.hash !== config.running.hash)
    sentences.push('The file of this board was changed: it counts from the next start on.');
  return sentences.join(' ');
}

/** Nothing secret is shown, whatever somebody has written into the file. */
export function configScreen({ file, text, problems, trial }: ConfigText): string {
  const wrong =
    problems.length === 0
      ? 'This configuration holds.'
      : `THIS CONFIGURATION IS WRONG (${problems.length}):\n${problems.join('\n')}`;
  const onTrial = trial === null ? '' : `${trial}\n`;
  return `# ${file}\n${masked(text).trimEnd()}\n\n${wrong}\n${onTrial}`;
}

export function logScreen(events: readonly BoardEvent[], most: number): string {
  const lines = events.slice(-most).map(eventLine);
  return lines.length === 0 ? 'nothing is told yet\n' : `${lines.join('\n')}\n`;
}

export function heading(text: string): string {
  return `\n${clip(`==== ${text} `, COLUMNS - 4).padEnd(COLUMNS - 1, '=')}\n`;
}

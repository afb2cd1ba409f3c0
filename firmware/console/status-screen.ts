// `show status`: one screen of 24 lines for somebody who has never seen this board. First which board and
// whether the plant is protected, last whether this board may be switched off. Pure.
import { PATH_WORDS } from '../board/notices.ts';
import { roleWord } from '../board/role-words.ts';
import type { ScadaStatus } from '../board/scada-desk.ts';
import type { AlarmView, Status } from '../board/status.ts';
import { ascii, clip, wrap } from './ascii.ts';

const LABEL = 11;
const COLUMNS = 80;
/** A prompt stands below. */
const LINES_MAX = 23;
const CLOSING_MAX = 3;
/** Worth a word: more than a host that is busy makes of it. `show guest` has every figure. */
const CLOCK_OFF_MS = 20;

export function statusLines(status: Status, columns = 80): string[] {
  const last = wrap(mayBeSwitchedOff(status), columns, 2).slice(0, CLOSING_MAX);
  const closing = ['', ...last.map((line) => clip(line, columns))];
  const before = LINES_MAX - closing.length;
  const lines = [
    headline(status),
    ...redundancy(status, columns),
    ...wrap(status.why, columns - LABEL)
      .slice(0, 2)
      .map((line, n) => row(n === 0 ? 'why' : '', line)),
    row('guest', guestWords(status)),
    ...(['log', 'serial', 'front'] as const).map((path) => pathRow(status, path)),
    row('gateway', witnessWords(status)),
    row('backup lag', lagWords(status)),
    row('output', outputWords(status)),
    row('sync-up', syncWords(status)),
    row('disks', diskWords(status)),
    row('watchdog', dogWords(status)),
    row('health', status.health.ok ? 'fit to lead' : `NOT FIT: ${status.health.words.join('; ')}`),
    row('peer', peerWords(status)),
    row('takeover', takeoverWords(status)),
    ...(status.scada === null ? [] : [row('scada', scadaWords(status.scada))]),
  ].map((line) => clip(line, columns));
  return [...lines, ...alarmRows(status.alarms, before - lines.length, columns), ...closing];
}

function headline({ board, role, pairState, generation }: Status): string {
  const side = board.side.toUpperCase();
  return `Board ${board.name} (${side})   ${roleWord(role)} (${role})   ${pairState}   generation ${generation}`;
}

/** Being in step and what is not survived all the same are two things to know. */
function redundancy({ redundancy, pairState, sinceMs }: Status, columns: number): string[] {
  const { words, faults } = redundancy;
  const since = `for ${span(sinceMs)}`;
  if (pairState !== 'RUN-Redundant') return [row('protection', `NOT REDUNDANT, ${since}`)];
  if (faults.every(({ survived }) => survived))
    return [row('protection', `REDUNDANT: ${words}, ${since}`)];
  return wrap(`REDUNDANT, ${since}, but ${words}`, columns - LABEL)
    .slice(0, 2)
    .map((line, n) => row(n === 0 ? 'protection' : '', line));
}

/** The sentence a technician came for. */
export function mayBeSwitchedOff({ safeToRemove, board }: Status): string {
  const { ok, why } = safeToRemove;
  return ok
    ? `You MAY switch off ${board.name} now: ${why}.`
    : `Do NOT switch off ${board.name}: ${why}.`;
}

function guestWords({ guest }: Status): string {
  if (guest.state === 'none') return 'no machine in memory here';
  const life = guest.lives > 1 ? `, life ${guest.lives}` : '';
  const offMs = guest.clock.offMs ?? 0;
  const clock = Math.abs(offMs) < CLOCK_OFF_MS ? '' : `, clock ${sides(offMs)}`;
  return `${guest.state}, up ${span(Number(BigInt(guest.virtualNs) / 1_000_000n))}${life}${clock}`;
}

function pathRow({ paths, link }: Status, path: 'log' | 'serial' | 'front'): string {
  const { state, peerHears, heardMs } = paths[path];
  const words = { talks: 'ok', silent: 'SILENT', none: 'not used' }[state];
  const ago =
    state !== 'silent' ? '' : heardMs === null ? ', never heard' : ` for ${span(heardMs)}`;
  const way = path === 'log' && state === 'talks' ? wayWords(link) : '';
  const there = peerHears === false ? ', NOT HEARD THERE' : '';
  return row(PATH_WORDS[path], `${words}${way}${ago}${there}`);
}

/** Where the log has more ways than one. */
function wayWords({ paths }: Status['link']): string {
  const inUse = paths.find(({ state }) => state === 'in-use');
  return inUse === undefined || paths.length === 1 ? '' : `, over ${inUse.name}`;
}

function witnessWords({ witness }: Status): string {
  if (witness.kind === 'none') return 'none, by the configuration';
  return `${witness.address} ${witness.answers ? 'answers' : 'DOES NOT ANSWER'}`;
}

function lagWords({ role, lagMs, logKbps, link }: Status): string {
  const none = roleWord(role) === 'BACKUP' ? 'not known yet' : 'no backup';
  const lag = lagMs === null ? none : `${lagMs.toFixed(1)} ms`;
  return link.up ? `${lag}, log ${logKbps.toFixed(0)} kbit/s` : `${lag}, log link DOWN`;
}

function outputWords({ gate }: Status): string {
  const words = {
    open: 'leaves at once',
    acked: 'leaves when the backup has its log',
    closed: 'held back here',
  } as const;
  return gate.waiting === 0
    ? words[gate.mode]
    : `${words[gate.mode]}, ${gate.waiting} waiting, oldest ${gate.oldestMs.toFixed(0)} ms`;
}

function syncWords({ sync }: Status): string {
  const limit = sync.rateMibS === 0 ? '' : `, at most ${sync.rateMibS} MiB/s`;
  const bounds = `${limit}${sync.isAllowed ? '' : ', FORBIDDEN by the operator'}`;
  if (sync.phase === 'none') return `none under way${bounds}`;
  if (sync.phase === 'refused') return `REFUSED: ${sync.refusals.join('; ')}`;
  const eta = sync.etaS === null ? '' : `, ${span(sync.etaS * 1000)} to go`;
  return `${sync.phase} ${sync.percent.toFixed(0)} %${amountWords(sync)}${eta}${bounds}`;
}

/** How much, and whether of all or of what changed. */
function amountWords({ kind, why, doneBytes, totalBytes }: Status['sync']): string {
  if (totalBytes === 0) return '';
  const amount = `, ${mib(doneBytes)} of ${mib(totalBytes)} MiB`;
  if (kind === 'changes') return `${amount} that may differ`;
  return why === '' ? amount : `${amount}, all of it (${why})`;
}

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);

function diskWords({ disks, check }: Status): string {
  const broken = disks.find(({ trouble }) => trouble !== null);
  if (broken !== undefined) return `FAILED ${broken.path}: ${broken.trouble}`;
  return disks.length === 0 ? 'none' : `${disks.length} ok${checkWords(check)}`;
}

function checkWords({ lastAtMs, lastDiffering, percent, mibS }: Status['check']): string {
  if (lastAtMs === null) return mibS > 0 && percent > 0 ? `, ${percent} % compared` : '';
  const found = lastDiffering === 0 ? 'equal' : `${lastDiffering} blocks DIFFERED`;
  return `, compared ${new Date(lastAtMs).toISOString().slice(0, 16)}Z: ${found}`;
}

function dogWords({ watchdog }: Status): string {
  if (watchdog.kind === 'none') return 'none, by the configuration';
  if (!watchdog.armed) return `NOT ARMED: ${watchdog.why}`;
  const bit = watchdog.causedLastReset ? '; it caused the last start' : '';
  return `armed, ${(watchdog.timeoutMs ?? 0) / 1000} s${bit}`;
}

function peerWords({ peer }: Status): string {
  if (peer === null) return 'never heard';
  const heard = peer.isHeard ? '' : 'NOT HEARD; was ';
  return `${heard}${peer.role}, generation ${peer.generation}${peer.ready ? '' : ', not ready'}`;
}

function takeoverWords({ lastTakeover }: Status): string {
  if (lastTakeover === null) return 'none since the start';
  const { kind, blackoutMs, cause, wallMs } = lastTakeover;
  const took = blackoutMs === null ? '' : `, ${blackoutMs.toFixed(0)} ms`;
  return `${kind} ${timeOf(wallMs)}${took}: ${cause}`;
}

function scadaWords(scada: ScadaStatus): string {
  const { isReached, why, tellers } = scada;
  if (!isReached) return `${reachedWords(scada)}: ${why}`;
  const urls = tellers.map(({ servers, at }) => servers[at]?.url ?? '');
  return `told at ${[...new Set(urls)].join(', ')}`;
}

export function reachedWords({ isReached, unreachedMs }: ScadaStatus): string {
  return isReached ? 'reached' : `NOT REACHED for ${span(unreachedMs)}`;
}

function alarmRows(alarms: readonly AlarmView[], room: number, columns: number): string[] {
  if (alarms.length === 0) return [row('alarms', 'none')];
  const shown = alarms.length <= room ? alarms : alarms.slice(0, Math.max(0, room - 1));
  const rows = shown.map((alarm, n) =>
    clip(row(n === 0 ? 'ALARMS' : '', `${alarm.severity} ${alarm.code}: ${alarm.text}`), columns),
  );
  const more = alarms.length - shown.length;
  return more === 0 ? rows : [...rows, row('', `and ${more} more: show alarms`)];
}

export function row(label: string, words: string): string {
  return ascii(`${label.padEnd(LABEL - 1)} ${words}`);
}

/** Longer words go on below themselves. */
export function wrapped(label: string, words: string): string[] {
  const [first = '', ...more] = wrap(words, COLUMNS - LABEL);
  // A longer label than the column keeps its space.
  return [row(label, first), ...more.map((line) => row('', line))];
}

/** Of a clock. */
export const sides = (ms: number): string =>
  `${Math.abs(ms).toFixed(1)} ms ${ms < 0 ? 'behind' : 'ahead'}`;

export function timeOf(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** The two largest units. */
export function span(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

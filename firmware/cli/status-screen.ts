// A status as one screen of 80 columns and 24 lines, for a technician in front of the machine: first
// whether the plant is served, last whether this board may be switched off.
import type { BoardEvent } from '../board/events.ts';
import { PATH_WORDS } from '../board/notices.ts';
import type { Status } from '../board/status.ts';

const COLUMNS = 80;
const LABEL = 10;

export function statusScreen(status: Status): string {
  const lines = [
    headline(status),
    `${''.padEnd(LABEL)}${status.why}`,
    '',
    row('guest', guestWords(status)),
    row('log', logWords(status)),
    row('output', gateWords(status)),
    row('sync-up', syncWords(status)),
    ...diskRows(status),
    ...pathRows(status),
    row('witness', witnessWords(status)),
    row('watchdog', dogWords(status)),
    row('health', status.health.ok ? 'fit to lead' : `NOT FIT: ${status.health.words.join('; ')}`),
    row('peer', peerWords(status)),
    row('record', `generation ${status.record.generation}, ${status.record.standing}`),
    ...takeoverRows(status),
    ...(status.lastEvent === null ? [] : [row('event', eventText(status.lastEvent).trimEnd())]),
    '',
    `MAY THIS BOARD BE SWITCHED OFF?  ${status.safeToRemove.ok ? 'YES' : 'NO'}: ${status.safeToRemove.why}`,
  ];
  return `${lines.map((line) => clip(line)).join('\n')}\n`;
}

export function eventText({ wallMs, code, severity, text }: BoardEvent): string {
  const time = new Date(wallMs).toISOString().slice(11, 23);
  const mark = severity === 'info' ? '' : `${severity.toUpperCase()} `;
  return `${time} ${mark}${code}: ${text}\n`;
}

function clip(line: string): string {
  return line.length <= COLUMNS ? line : `${line.slice(0, COLUMNS - 1)}…`;
}

function row(label: string, words: string): string {
  return `${label.padEnd(LABEL)}${words}`;
}

function headline({ board, pairState, role, generation, sinceMs }: Status): string {
  const who = `${board.name} (${board.side})`;
  return `${who}  ${pairState}  ${role.toUpperCase()}  generation ${generation}  for ${span(sinceMs)}`;
}

function guestWords({ guest }: Status): string {
  if (guest.state === 'none') return 'no machine in memory';
  const seconds = Number(BigInt(guest.virtualNs) / 1_000_000n) / 1000;
  const life = guest.lives > 1 ? `, life ${guest.lives}` : '';
  return `${guest.state}, up ${span(seconds * 1000)}${life}, ${guest.icount} instructions`;
}

function logWords({ link, logKbps, lagMs }: Status): string {
  const lag = lagMs === null ? '' : `, backup ${lagMs.toFixed(1)} ms behind`;
  if (!link.up) return 'link down';
  return `link up, round trip ${link.rttUs.toFixed(0)} us, ${logKbps.toFixed(0)} kbit/s${lag}`;
}

function gateWords({ gate }: Status): string {
  const waiting =
    gate.waiting === 0 ? '' : `, ${gate.waiting} waiting, oldest ${gate.oldestMs.toFixed(0)} ms`;
  const words = {
    open: 'leaves at once',
    acked: 'leaves when the backup has its log',
    closed: 'held back here',
  } as const;
  return `${words[gate.mode]}${waiting}`;
}

function syncWords({ sync }: Status): string {
  const forbidden = sync.isAllowed ? '' : ' (forbidden by the operator)';
  if (sync.phase === 'none') return `none under way${forbidden}`;
  if (sync.phase === 'refused') return `REFUSED: ${sync.refusals.join('; ')}`;
  const eta = sync.etaS === null ? '' : `, ${span(sync.etaS * 1000)} to go`;
  return `${sync.phase}, ${sync.percent.toFixed(0)} %${eta}${forbidden}`;
}

function diskRows({ disks }: Status): string[] {
  const broken = disks.filter(({ trouble }) => trouble !== null);
  if (disks.length === 0) return [];
  if (broken.length === 0) return [row('disks', `${disks.length} well`)];
  return broken.slice(0, 2).map(({ path, trouble }) => row('disk', `${path}: ${trouble}`));
}

function pathRows({ paths }: Status): string[] {
  return (['log', 'serial', 'front'] as const).map((path) => {
    const { state, peerHears, rejected } = paths[path];
    const words = { talks: 'talks', silent: 'SILENT', none: 'none' }[state];
    const back = peerHears === false ? ', not heard there' : '';
    const noise = rejected === 0 ? '' : `, ${rejected} frames rejected`;
    return row(
      path === 'log' ? 'paths' : '',
      `${PATH_WORDS[path].padEnd(13)}${words}${back}${noise}`,
    );
  });
}

function witnessWords({ witness }: Status): string {
  if (witness.kind === 'none') return 'none';
  const trouble = witness.trouble === null ? '' : ` (${witness.trouble})`;
  return `${witness.address} ${witness.answers ? 'answers' : `DOES NOT ANSWER${trouble}`}`;
}

function dogWords({ watchdog }: Status): string {
  if (watchdog.kind === 'none') return 'none, by the configuration';
  const bit = watchdog.causedLastReset ? '; caused the last start' : '';
  if (watchdog.armed) return `armed, ${watchdog.timeoutMs} ms, ${watchdog.identity}${bit}`;
  return `NOT ARMED: ${watchdog.why}`;
}

function peerWords({ peer }: Status): string {
  if (peer === null) return 'never heard';
  const heard = peer.isHeard ? '' : 'NOT HEARD; was ';
  const ready = peer.ready ? '' : ', not ready';
  return `${heard}${peer.role}, generation ${peer.generation}, ${peer.standing}${ready}`;
}

function takeoverRows({ lastTakeover }: Status): string[] {
  if (lastTakeover === null) return [];
  const { kind, blackoutMs, cause } = lastTakeover;
  const took = blackoutMs === null ? '' : ` ${blackoutMs.toFixed(0)} ms`;
  return [row(kind === 'takeover' ? 'takeover' : 'hand-over', `last one${took}: ${cause}`)];
}

/** The two largest units. */
export function span(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

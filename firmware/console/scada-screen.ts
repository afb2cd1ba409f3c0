// `show scada`: whether SCADA has what this board says, and where it hangs if not. Pure.
import type { ScadaStatus, ServerReport, TellerReport } from '../board/scada-desk.ts';
import { ascii, wrap } from './ascii.ts';
import { reachedWords, row, span, wrapped } from './status-screen.ts';

const COLUMNS = 80;
const INDENT = 4;

export function scadaScreen(scada: ScadaStatus | null): string {
  if (scada === null)
    return 'SCADA is not told of this board: its configuration has no table [mqtt] ("configure").\n';
  const { agent, saidMs, why, tellers } = scada;
  const agentWords = {
    speaks: `reports, ${span(saidMs ?? 0)} ago`,
    silent: `SILENT for ${span(saidMs ?? 0)}; this is what it said last`,
    absent: 'ABSENT',
  }[agent];
  return [
    row('SCADA', reachedWords(scada)),
    ...(why === null ? [] : wrapped('why', why)),
    row('agent', agentWords),
    ...tellers.flatMap(tellerRows),
    '',
  ].join('\n');
}

function tellerRows({ what, clientId, isTold, births, sent, unsaved, servers, at }: TellerReport) {
  const last =
    sent === null ? 'nothing sent yet' : `last sent ${sent.what} ${span(sent.agoMs)} ago`;
  const times = what === 'Sparkplug' ? 'birth' : 'connection';
  return [
    '',
    ascii(`${what}: ${isTold ? 'told' : 'NOT TOLD'}, ${count(births, times)}, ${last}`),
    ...indented(`client id ${clientId}`),
    ...(unsaved === null ? [] : indented(`NOT KEPT ON DISK: ${unsaved}`)),
    ...servers.flatMap((server, n) => serverRows(server, n === at)),
  ];
}

function serverRows({ url, state, forMs, connects, trouble }: ServerReport, isPresent: boolean) {
  const words = {
    untried: 'not tried yet',
    trying: `is being tried, not connected for ${span(forMs)}`,
    connected: `connected for ${span(forMs)}`,
    lost: `not connected for ${span(forMs)}`,
  }[state];
  const often = connects === 0 ? '' : `, ${count(connects, 'connection')} so far`;
  return [
    ...indented(`${isPresent ? '>' : '-'} ${url} ${words}${often}`),
    ...(trouble === null
      ? []
      : indented(`${span(trouble.agoMs)} ago: ${trouble.text}`, INDENT + 4)),
  ];
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;

function indented(words: string, by = INDENT): string[] {
  return wrap(words, COLUMNS - by, 2).map((line) => ' '.repeat(by) + line);
}

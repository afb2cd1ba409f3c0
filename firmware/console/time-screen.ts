// `show time`: the wall clock of this machine, who sets it, and what was heard of a server last. Says what is
// known and no more: an NTP daemon need not tell the kernel, and need not be one we can ask. Pure.
import type { ClockStatus } from '../board/clock-watch.ts';
import { type ClockFacts, isSet, STRATUM_NONE } from '../host/clock.ts';
import type { ToolAnswer } from '../host/time-tools.ts';
import type { TimeText } from './needs.ts';
import { span, timeOf, wrapped } from './status-screen.ts';

/** `board`: what it has seen since its start; null: it does not answer. */
export function timeScreen({ wallMs, facts, asked }: TimeText, board: ClockStatus | null): string {
  const lines: [label: string, words: string][] = [
    ['clock', timeOf(wallMs)],
    ['set', setWords(facts, asked, board)],
    ['by', serviceWords(facts)],
    ['kernel', kernelWords(facts)],
    ...answerLines(facts),
    ...(asked === null ? [] : [[asked.tool, askedWords(asked)] as [string, string]]),
  ];
  return `${lines.flatMap(([label, words]) => wrapped(label, words)).join('\n')}\n`;
}

function setWords(facts: ClockFacts, asked: ToolAnswer | null, board: ClockStatus | null): string {
  if (isSet(facts)) return 'by a time server';
  if (asked !== null && asked.server !== null) return 'by a time server, as its daemon says';
  const since = board === null || board.unsetMs === 0 ? '' : `, for ${span(board.unsetMs)}`;
  return facts.service === null ? 'by nobody' : `NOT by a time server${since}`;
}

function serviceWords({ service }: ClockFacts): string {
  if (service === null)
    return 'nobody known: no NTP daemon runs here (on the appliance: NTP_SERVERS in appliance.conf)';
  return [service.by, ...service.servers].join(' ');
}

function kernelWords(facts: ClockFacts): string {
  if (facts.kernel === null) return 'does not say';
  const { isSynchronised, maxErrorMs, estimatedErrorMs, offsetMs } = facts.kernel;
  if (!isSynchronised)
    return isSet(facts) ? 'is told nothing by this ntpd' : 'knows of nobody who sets it';
  const errors = `right to ${ms(maxErrorMs)}, estimated ${ms(estimatedErrorMs)}`;
  return `synchronised, ${errors}, ${ms(offsetMs)} still to correct`;
}

function answerLines({ service }: ClockFacts): [string, string][] {
  if (service === null || service.servers.length === 0) return [];
  const { answer } = service;
  if (answer === null) return [['last word', 'none yet']];
  const { agoMs, event, stratum, offsetMs, pollS } = answer;
  const ago = `${span(agoMs)} ago (${event})`;
  if (stratum >= STRATUM_NONE) return [['last word', `${ago}: NO SERVER ANSWERS`]];
  const found = `stratum ${stratum}, offset ${signed(offsetMs)}, asks every ${span(pollS * 1_000)}`;
  return [['last word', `${ago}: ${found}`]];
}

function askedWords({ server, stratum, offsetMs, agoMs }: ToolAnswer): string {
  if (server === null) return 'follows NO SERVER';
  return [
    `follows ${server}`,
    ...(stratum === null ? [] : [`stratum ${stratum}`]),
    ...(offsetMs === null ? [] : [`offset ${signed(offsetMs)}`]),
    ...(agoMs === null ? [] : [`heard ${span(agoMs)} ago`]),
  ].join(', ');
}

const ms = (value: number): string => `${Math.abs(value).toFixed(Math.abs(value) < 10 ? 2 : 0)} ms`;
const signed = (value: number): string => `${value < 0 ? '-' : '+'}${ms(value)}`;

// What an NTP daemon says of itself when it is asked with its own tool: chronyc, timedatectl, ntpq. Asked only
// when a person wants to know: it starts a program. Whatever comes back, nothing throws.
import { execFile } from 'node:child_process';

export interface ToolAnswer {
  /** The program that was asked. */
  readonly tool: string;
  /** Whom the daemon follows; null: nobody. */
  readonly server: string | null;
  readonly stratum: number | null;
  /** Of this clock at its last update. */
  readonly offsetMs: number | null;
  /** Since the last update; null: it does not say. */
  readonly agoMs: number | null;
}

interface Tool {
  readonly command: string;
  readonly args: readonly string[];
  readonly read: (text: string, wallMs: number) => Omit<ToolAnswer, 'tool'> | null;
}

export const TIME_TOOLS: readonly Tool[] = [
  { command: 'chronyc', args: ['-n', '-c', 'tracking'], read: chrony },
  { command: 'timedatectl', args: ['timesync-status'], read: timesyncd },
  { command: 'ntpq', args: ['-n', '-c', 'rv'], read: ntpd },
];

const WITHIN_MS = 3_000;

/** The first that answers; null: none does. */
export async function askTimeTools(wallMs: number): Promise<ToolAnswer | null> {
  for (const { command, args, read } of TIME_TOOLS) {
    const text = await output(command, args);
    const answer = text === null ? null : read(text, wallMs);
    if (answer !== null) return { tool: command, ...answer };
  }
  return null;
}

/** `00000000,,0,...,Not synchronised`: id, address, stratum, time of the last update, ..., last offset. */
function chrony(text: string, wallMs: number): Omit<ToolAnswer, 'tool'> | null {
  const fields = text.trim().split(',');
  if (fields.length !== 14) return null;
  const [, server = '', stratum, updatedS, , offsetS] = fields;
  const isFollowing = fields[13] !== 'Not synchronised';
  return {
    server: isFollowing && server !== '' ? server : null,
    stratum: isFollowing ? finite(stratum) : null,
    offsetMs: isFollowing ? times(finite(offsetS), 1_000) : null,
    agoMs: isFollowing ? since(finite(updatedS), wallMs) : null,
  };
}

/** Lines `Server: 192.0.2.1 (ntp.example)`, `Stratum: 2`, `Offset: +1.210ms`. */
function timesyncd(text: string): Omit<ToolAnswer, 'tool'> | null {
  const field = (name: string) => new RegExp(`^\\s*${name}: (.*)$`, 'm').exec(text)?.[1]?.trim();
  const server = field('Server');
  if (server === undefined) return null;
  // Before the first packet there is nothing but the server.
  const stratum = finite(field('Stratum'));
  const isFollowing = stratum !== null;
  const offsetMs = isFollowing ? duration(field('Offset')) : null;
  return { server: isFollowing ? server : null, stratum, offsetMs, agoMs: null };
}

/** `... leap_none, sync_ntp, ... stratum=3, ... refid=192.0.2.1, ... offset=0.123, ...` in milliseconds. */
function ntpd(text: string): Omit<ToolAnswer, 'tool'> | null {
  if (!text.includes('stratum=')) return null;
  const field = (name: string) => new RegExp(`\\b${name}=("[^"]*"|[^,\\s]+)`).exec(text)?.[1];
  const isFollowing = /\bsync_(?!unspec)\w+/.test(text) && !/\bleap_alarm\b/.test(text);
  return {
    server: isFollowing ? (field('refid') ?? null) : null,
    stratum: isFollowing ? finite(field('stratum')) : null,
    offsetMs: isFollowing ? finite(field('offset')) : null,
    agoMs: null,
  };
}

/** `+1.210ms`, `-35us`, `2.1s`. */
function duration(text: string | undefined): number | null {
  const [, number, unit = ''] = /^([+-]?[\d.]+)(us|ms|s)$/.exec(text ?? '') ?? [];
  return times(finite(number), { us: 0.001, ms: 1, s: 1_000 }[unit] ?? 0);
}

function finite(text: string | undefined): number | null {
  const number = Number(text);
  return text === undefined || text.trim() === '' || !Number.isFinite(number) ? null : number;
}

const times = (number: number | null, by: number): number | null =>
  number === null ? null : number * by;
const since = (seconds: number | null, wallMs: number): number | null =>
  seconds === null || seconds === 0 ? null : Math.max(0, wallMs - seconds * 1_000);

function output(command: string, args: readonly string[]): Promise<string | null> {
  const env = { ...process.env, LC_ALL: 'C' };
  return new Promise((resolve) => {
    execFile(command, [...args], { timeout: WITHIN_MS, env }, (error, stdout) => {
      resolve(error === null ? stdout : null);
    });
  });
}

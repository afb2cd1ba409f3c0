// How right the wall clock of this machine is, and who sets it: the kernel's own state, the word an NTP daemon
// left behind, and which daemon there is. Reads only, without any right.
//
// The kernel knows by `maxError`: a daemon sets it, and without one it grows to 16 s. Its flag STA_UNSYNC says
// less: chrony leaves it on unless it also keeps the hardware clock. BusyBox ntpd tells the kernel neither,
// so on the appliance it leaves its word in a file (libexec/twinstep/clock-told).
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { kernelClock, watchdog as native } from '../../native/index.ts';

export interface KernelClock {
  readonly isSynchronised: boolean;
  readonly maxErrorMs: number;
  readonly estimatedErrorMs: number;
  /** What the kernel still adds, slowly. */
  readonly offsetMs: number;
}

/** What a daemon said last. */
export interface ClockAnswer {
  readonly agoMs: number;
  /** As ntpd names it: step, stratum, periodic, unsync. */
  readonly event: string;
  /** 16: nobody it believes answers. */
  readonly stratum: number;
  readonly offsetMs: number;
  readonly pollS: number;
}

export interface TimeService {
  readonly by: string;
  /** As configured; empty: only the daemon knows. */
  readonly servers: readonly string[];
  /** Null: it has left no word. */
  readonly answer: ClockAnswer | null;
}

export interface ClockFacts {
  /** Null: this kernel does not say. */
  readonly kernel: KernelClock | null;
  /** Null: nothing here sets the clock, as far as can be seen. */
  readonly service: TimeService | null;
}

export interface ClockSources {
  /** Of the appliance's ntpd: what it is configured with, and its last word. */
  readonly serversFile: string;
  readonly answerFile: string;
  /** Files and folders that are there while a daemon runs, and its name. */
  readonly footprints: readonly (readonly [path: string, by: string])[];
  readonly kernel: typeof kernelClock;
  /** CLOCK_BOOTTIME. */
  readonly bootMs: () => number;
}

export const CLOCK_SOURCES: ClockSources = {
  serversFile: '/run/twinstep/ntp-servers',
  answerFile: '/run/twinstep/clock/answer',
  footprints: [
    ['/run/chrony/chronyd.pid', 'chrony'],
    ['/run/chronyd.pid', 'chrony'],
    ['/run/systemd/timesync', 'systemd-timesyncd'],
    ['/run/ntpd.pid', 'ntpd'],
    ['/run/openntpd.pid', 'openntpd'],
  ],
  kernel: kernelClock,
  bootMs: () => native.bootClockMs(),
};

/** NTP_PHASE_LIMIT of the kernel. */
const NOBODYS_US = 16_000_000;
export const STRATUM_NONE = 16;

export async function readClock(sources: ClockSources = CLOCK_SOURCES): Promise<ClockFacts> {
  return { kernel: kernelOf(sources), service: await serviceOf(sources) };
}

/** Somebody has set the clock, and not too long ago. */
export function isSet({ kernel, service }: ClockFacts): boolean {
  if (kernel?.isSynchronised === true) return true;
  const answer = service?.answer ?? null;
  return answer !== null && answer.stratum < STRATUM_NONE && answer.agoMs <= answerCountsMs(answer);
}

/** ntpd speaks every eleven minutes, or when it asks less often than that. */
export function answerCountsMs({ pollS }: ClockAnswer): number {
  return (13 * 60 + 2 * pollS) * 1_000;
}

function kernelOf({ kernel }: ClockSources): KernelClock | null {
  try {
    const { maxErrorUs, estimatedErrorUs, offsetUs } = kernel();
    return {
      isSynchronised: maxErrorUs < NOBODYS_US,
      maxErrorMs: maxErrorUs / 1_000,
      estimatedErrorMs: estimatedErrorUs / 1_000,
      offsetMs: offsetUs / 1_000,
    };
  } catch {
    return null;
  }
}

async function serviceOf(sources: ClockSources): Promise<TimeService | null> {
  const { serversFile, answerFile, footprints, bootMs } = sources;
  const servers = await textOf(serversFile);
  if (servers !== null) {
    const answer = readAnswer((await textOf(answerFile)) ?? '', bootMs());
    return { by: 'ntpd', servers: servers.split(/\s+/).filter(Boolean), answer };
  }
  const found = footprints.find(([path]) => existsSync(path));
  return found === undefined ? null : { by: found[1], servers: [], answer: null };
}

/** KEY=VALUE lines of clock-told; null: not whole. */
function readAnswer(text: string, bootMs: number): ClockAnswer | null {
  const fields = new Map(
    text.split('\n').map((line) => line.split('=', 2) as [string, string | undefined]),
  );
  const number = (key: string) => {
    const given = fields.get(key) ?? '';
    return given.trim() === '' ? Number.NaN : Number(given);
  };
  const [uptimeS, stratum, offsetS, pollS] = ['uptime', 'stratum', 'offset', 'poll'].map(number);
  const each = [uptimeS, stratum, offsetS, pollS] as [number, number, number, number];
  if (!each.every(Number.isFinite)) return null;
  return {
    agoMs: Math.max(0, bootMs - each[0] * 1_000),
    event: (fields.get('event') ?? '').replace(/[^a-z]/g, ''),
    ...{ stratum: each[1], offsetMs: each[2] * 1_000, pollS: each[3] },
  };
}

async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return null;
  }
}

// The demo on a terminal: one calm picture, drawn again a few times a second in its place; or, for logs and
// CI, a line for each thing that happened.
import type { BoardEvent } from '../../firmware/board/events.ts';
import type { Status } from '../../firmware/board/status.ts';
import { SIDES, type Side } from './network.ts';
import type { TwinRig } from './rig.ts';
import type { Story } from './story.ts';

const COLUMNS = 96;
const DRAW_MS = 150;
const CLIENT_MS = 300;
const TERMINAL = {
  clear: '\x1b[2J\x1b[H',
  home: '\x1b[H',
  rest: '\x1b[K',
  below: '\x1b[J',
} as const;
const CURSOR = { hide: '\x1b[?25l', show: '\x1b[?25h' } as const;
const ROLE_WORDS: Readonly<Record<string, string>> = {
  protected: 'PRIMARY, protected',
  solo: 'PRIMARY, alone',
  source: 'PRIMARY, alone; brings the other into step',
  granting: 'PRIMARY, alone; brings the other into step',
  backup: 'backup, in step',
  target: 'comes into step',
  promoting: 'takes over',
};
/** Events worth a line in a log. */
const TOLD: ReadonlySet<string> = new Set([
  'TAKEOVER-DONE',
  'HANDOVER-DONE',
  'SYNC-DONE',
  'REDUNDANCY-LOST',
  'REDUNDANCY-BACK',
  'PEER-DEAD',
  'WATCHDOG-BIT',
  'BOARD-DIED',
  'LINK-DOWN',
]);

export interface Screen {
  event(side: Side, event: BoardEvent): void;
  /** What SCADA heard. */
  scada(words: string): void;
  step(words: string): void;
  /** The rig exists from here on. */
  watch(rig: TwinRig): void;
  close(): void;
}

export class PlainScreen implements Screen {
  private readonly startMs = performance.now();

  event(side: Side, { code, text }: BoardEvent): void {
    if (TOLD.has(code)) this.line(`  board ${side}: ${text}`);
  }

  scada(words: string): void {
    this.line(`    SCADA: ${words}`);
  }

  step(words: string): void {
    this.line(words);
  }

  watch(): void {}
  close(): void {}

  private line(words: string): void {
    const seconds = ((performance.now() - this.startMs) / 1000).toFixed(1);
    console.log(`${seconds.padStart(6)} s  ${words}`);
  }
}

export class LiveScreen implements Screen {
  private readonly story: Story;
  private readonly title: string;
  private readonly startMs = performance.now();
  private stepMs = performance.now();
  private last = '';
  private heard = 'nothing yet';
  private rig: TwinRig | undefined;
  private client = 'not connected yet';
  private readonly timers: NodeJS.Timeout[];

  constructor(story: Story, title: string) {
    this.story = story;
    this.title = title;
    process.stdout.write(CURSOR.hide + TERMINAL.clear);
    process.on('exit', () => process.stdout.write(CURSOR.show));
    this.timers = [
      setInterval(() => this.draw(), DRAW_MS),
      setInterval(() => this.askClient(), CLIENT_MS),
    ];
  }

  event(side: Side, { code, text }: BoardEvent): void {
    if (code !== 'BOARD-STALLED' && !code.startsWith('PATH-')) this.last = `board ${side}: ${text}`;
  }

  scada(words: string): void {
    this.heard = words;
  }

  step(): void {
    this.stepMs = performance.now();
    this.draw();
  }

  watch(rig: TwinRig): void {
    this.rig = rig;
  }

  close(): void {
    for (const timer of this.timers) clearInterval(timer);
    this.draw();
    process.stdout.write(CURSOR.show);
  }

  /** Without taking anything away from whoever measures. */
  private askClient(): void {
    const { rig } = this;
    if (rig === undefined) return;
    const { answered, faults, connections } = rig.client.glance();
    const wrong = faults === 0 ? 'none wrong' : `${faults} WRONG`;
    this.client =
      connections === 0
        ? 'waits for the guest'
        : `${answered.toLocaleString('en')} answers, ${wrong}`;
  }

  private draw(): void {
    const { rig, story } = this;
    const statuses = SIDES.map((side) => rig?.boards[side].status);
    const leads = statuses.find(
      (status) => (status?.role ?? '') in ROLE_WORDS && isLeading(status),
    );
    const lines = [
      this.title,
      '',
      ...SIDES.map((side, i) => `  board ${side}   ${boardWords(statuses[i], rig, side)}`),
      `  log       ${leads === undefined ? '-' : `${leads.logKbps.toFixed(0)} kbit/s, the backup is ${leads.lagMs?.toFixed(0) ?? '-'} ms behind`}`,
      `  output    ${leads === undefined ? '-' : gateWords(leads)}`,
      `  client    ${this.client}`,
      `  last      ${this.last}`,
      `  SCADA     ${this.heard}`,
      '',
      ...story.chapters.map((chapter) => `  ${chapterWords(chapter, story.now)}`),
      '',
      `  now       ${story.now}, ${seconds(this.stepMs)} s of ${seconds(this.startMs)}`,
    ];
    const picture = lines.map((line) => line.slice(0, COLUMNS) + TERMINAL.rest).join('\n');
    process.stdout.write(`${TERMINAL.home}${picture}\n${TERMINAL.below}`);
  }
}

const seconds = (sinceMs: number) => ((performance.now() - sinceMs) / 1000).toFixed(0);

function isLeading(status: Status | undefined): boolean {
  return ['protected', 'solo', 'source', 'granting'].includes(status?.role ?? '');
}

function boardWords(status: Status | undefined, rig: TwinRig | undefined, side: Side): string {
  if (status === undefined)
    return rig?.boards[side].isOn ? 'is dead; its supervisor starts it' : 'off';
  const { role, sync, generation } = status;
  const words = ROLE_WORDS[role] ?? role;
  const eta = sync.etaS === null ? '' : `, ${sync.etaS} s to go`;
  const progress = role === 'target' && sync.percent > 0 ? `  ${sync.percent} %${eta}` : '';
  return `${words}${progress}   (generation ${generation})`;
}

function gateWords({ gate }: Status): string {
  const modes = {
    acked: 'waits until the backup has the log of it',
    open: 'goes out at once: nobody to wait for',
    closed: 'held',
  } as const;
  return `${modes[gate.mode]}; ${gate.waiting} waiting`;
}

function chapterWords({ words, result, failure }: Story['chapters'][number], now: string): string {
  if (failure !== undefined) return `FAILED  ${words}`;
  if (result !== undefined)
    return `done    ${words.padEnd(50)} blackout ${result.blackoutMs.toFixed(0).padStart(4)} ms`;
  return `${now === words ? 'now ' : '    '}    ${words}`;
}

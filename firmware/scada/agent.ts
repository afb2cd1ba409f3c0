// From the board to SCADA: a process of its own that reads the control socket, so that no broker can
// make the board wait. When the board does not answer, SCADA is told so at once, and nothing else. A board
// that hangs keeps its socket open: one whose status is overdue does not answer either.

import { ControlClient } from '../board/control/client.ts';
import type { BoardEvent } from '../board/events.ts';
import type { ScadaReport, TellerReport } from '../board/scada-desk.ts';
import type { Status } from '../board/status.ts';
import type { Note, Snapshot } from './edge-node.ts';
import { snapshotOf, unreachable } from './snapshot.ts';

/** What speaks to a broker: the Sparkplug session, the plain topic. */
export interface Teller {
  start(): void;
  update(snapshot: Snapshot, status: Status | undefined): void;
  note(note: Note): void;
  /** Of itself, for the technician's console. */
  report(): TellerReport;
  stop(why: string): Promise<void>;
}

export interface AgentOptions {
  readonly socket: string;
  readonly tellers: readonly Teller[];
  readonly wallMs: () => number;
  readonly onNotice: (text: string) => void;
}

const STATUS_EVERY_MS = 500;
/** What was told last is not believed longer than this. */
const SILENT_MS = 1_500;
const RETRY_MS = 250;
const REPORT_EVERY_MS = 1_000;
/** Events that change what the status says: it is asked for at once. */
const TELLING =
  /^(ROLE|PAIR|REDUNDANCY|TAKEOVER|HANDOVER|HEALTH|WATCHDOG|PATH|SYNC|GUEST|DISK)-|^DIVERGED$/;

export class ScadaAgent {
  private readonly options: AgentOptions;
  private client: ControlClient | undefined;
  private timer: NodeJS.Timeout | undefined;
  private silence: NodeJS.Timeout | undefined;
  private last: Snapshot | undefined;
  /** Of which start of the board, and up to which number, the events are told. A board that lost its state
   * counts its starts anew: its process tells them apart. */
  private told = { start: '', seq: 0 };
  private reportedMs = Number.NEGATIVE_INFINITY;
  private isStopped = false;
  private isSpeaking = false;
  private isSilent = false;

  constructor(options: AgentOptions) {
    this.options = options;
  }

  start(): void {
    void this.connect();
  }

  /** Nobody speaks to a broker before there is something to say: the first birth is a whole one. */
  private say(snapshot: Snapshot, status: Status | undefined): void {
    if (this.isStopped) return;
    this.last = snapshot;
    for (const teller of this.options.tellers) teller.update(snapshot, status);
    if (this.isSpeaking) return;
    this.isSpeaking = true;
    for (const teller of this.options.tellers) teller.start();
  }

  async stop(why: string): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    this.client?.close();
    if (this.isSpeaking) await Promise.all(this.options.tellers.map((teller) => teller.stop(why)));
  }

  private async connect(): Promise<void> {
    try {
      const client = await ControlClient.open(this.options.socket);
      this.client = client;
      this.listen();
      const { board } = await client.status();
      const start = `${board.boot} ${board.pid}`;
      if (start !== this.told.start) this.told = { start, seq: 0 };
      client.onTold = ({ event, status }) => {
        if (status !== undefined) this.tell(status);
        if (event !== undefined) this.take(client, event);
      };
      await client.ask({ do: 'subscribe', after: this.told.seq, statusEveryMs: STATUS_EVERY_MS });
      await client.ended;
      this.lost('the board has ended');
    } catch (error) {
      this.lost((error as Error).message);
    }
    clearTimeout(this.silence);
    this.client?.close();
    this.client = undefined;
    if (!this.isStopped) this.timer = setTimeout(() => void this.connect(), RETRY_MS);
  }

  /** A board that says nothing for too long is closed, which is an end like any other. */
  private listen(): void {
    clearTimeout(this.silence);
    if (this.isStopped) return;
    this.silence = setTimeout(() => {
      this.lost(`it said nothing for ${SILENT_MS} ms`);
      this.client?.close();
    }, SILENT_MS);
  }

  private tell(status: Status): void {
    this.listen();
    this.isSilent = false;
    this.say(snapshotOf(status, { wallMs: this.options.wallMs() }), status);
    this.report();
  }

  /** What becomes of it, so that who stands before the board can see it there. */
  private report(): void {
    const nowMs = performance.now();
    if (nowMs - this.reportedMs < REPORT_EVERY_MS) return;
    this.reportedMs = nowMs;
    const report: ScadaReport = { tellers: this.options.tellers.map((teller) => teller.report()) };
    void this.client?.ask({ do: 'report-scada', report });
  }

  private take(client: ControlClient, event: BoardEvent): void {
    this.told.seq = event.seq;
    const { wallMs, code, severity, text } = event;
    const note = { wallMs, text: JSON.stringify({ code, severity, text }) };
    for (const teller of this.options.tellers) teller.note(note);
    if (!TELLING.test(code)) return;
    void client.status().then(
      (status) => this.tell(status),
      () => {},
    );
  }

  private lost(why: string): void {
    if (this.isStopped || this.isSilent) return;
    this.isSilent = true;
    this.options.onNotice(why);
    this.say(unreachable(this.last, `the board does not answer: ${why}`), undefined);
  }
}

// A console on two streams: bytes to the terminal and back, its calls carried out, its clock ticked. Ends
// when the session ends or the line is gone.
import type { Readable, Writable } from 'node:stream';
import type { BoardEvent } from '../board/events.ts';
import { wrap } from './ascii.ts';
import { GROUPS } from './commands.ts';
import type { Session } from './context.ts';
import { ConsoleHost, type HostOptions } from './host.ts';
import { eventLine } from './screens.ts';
import { span, statusLines } from './status-screen.ts';
import { rowsOf, talk } from './talk.ts';
import { Terminal, type TerminalCounters } from './terminal.ts';

export interface ShellOptions extends HostOptions {
  readonly input: Readable;
  readonly output: Writable;
  /** No pages on a pipe. */
  readonly isTerminal: boolean;
  readonly idleMs?: number;
  readonly nowMs: () => number;
}

const TICK_MS = 100;
/** A guest that prints faster than the line takes is cut, not stored. */
const UNSENT_BYTES_MAX = 256 << 10;

export class Shell {
  readonly ended: Promise<void>;
  dropped = 0;
  private readonly options: ShellOptions;
  private readonly terminal: Terminal;
  private readonly host: ConsoleHost;
  private readonly timer: NodeJS.Timeout;
  private resolveEnded: () => void = () => {};
  private isEnded = false;
  private silentSinceMs: number | null = null;

  constructor(options: ShellOptions) {
    this.options = options;
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
    const session: Session = {
      role: null,
      status: null,
      board: '',
      modeRows: null,
      settings: {
        rows: options.isTerminal ? 24 : 0,
        columns: 80,
        idleMs: options.idleMs ?? 600_000,
      },
    };
    this.host = new ConsoleHost(options, {
      onStatus: (status) => {
        session.status = status;
        if (status !== null) this.silentSinceMs = null;
        else this.silentSinceMs ??= options.nowMs();
      },
      onEvent: (event: BoardEvent) =>
        this.withTerminal(() => this.terminal.told(`${eventLine(event)}\n`)),
      fromGuest: (bytes) => this.fromGuest(bytes),
      guestEnded: (why) => this.withTerminal(() => this.terminal.guestEnded(why)),
    });
    const around = {
      rows: () => rowsOf(session),
      groups: GROUPS,
      liveScreen: (columns: number) => this.liveScreen(session, columns),
    };
    this.terminal = new Terminal(talk(session), around, options.nowMs(), session.settings);
    const { input, output } = options;
    input.on('data', (bytes: Buffer) => this.withTerminal(() => this.terminal.input(bytes)));
    for (const end of ['end', 'close', 'error'] as const)
      input.on(end, () => this.withTerminal(() => this.terminal.hangup()));
    output.on('error', () => this.withTerminal(() => this.terminal.hangup()));
    this.timer = setInterval(
      () => this.withTerminal(() => this.terminal.tick(options.nowMs())),
      TICK_MS,
    );
    this.withTerminal(() => {});
  }

  get counters(): TerminalCounters {
    return this.terminal.counters;
  }

  hangup(): void {
    this.withTerminal(() => this.terminal.hangup());
  }

  private liveScreen({ status }: Session, columns: number): string[] {
    const silentMs = this.options.nowMs() - (this.silentSinceMs ?? 0);
    return status === null
      ? wrap(
          `THE BOARD DOES NOT ANSWER, for ${span(silentMs)}. (q ends; then: show status)`,
          columns,
        )
      : statusLines(status, columns);
  }

  private withTerminal(change: () => void): void {
    if (this.isEnded) return;
    change();
    const { bytes, calls, forGuest, leavesGuest } = this.terminal.takeOutput();
    if (bytes !== '') this.options.output.write(Buffer.from(bytes, 'latin1'));
    for (const part of forGuest) this.host.toGuest(part);
    if (leavesGuest) this.host.leaveGuest();
    for (const { id, call } of calls) {
      void this.host.carryOut(call).then((answer) => {
        // Interrupted meanwhile: nobody talks to the guest any more.
        const isLate = !this.terminal.answersTo(id);
        if (isLate && call.do === 'open-guest') this.host.leaveGuest();
        this.withTerminal(() => this.terminal.answer(id, answer));
      });
    }
    if (this.terminal.isEnded) this.end();
  }

  private fromGuest(bytes: Uint8Array): void {
    if (this.options.output.writableLength > UNSENT_BYTES_MAX) this.dropped += bytes.length;
    else this.withTerminal(() => this.terminal.fromGuest(bytes));
  }

  private end(): void {
    this.isEnded = true;
    clearInterval(this.timer);
    this.host.close();
    this.resolveEnded();
  }
}

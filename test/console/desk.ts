// A technician at a terminal whose outside is a script: every call is answered at once, or kept.
import type { BoardEvent } from '../../firmware/board/events.ts';
import type { RequestAnswer } from '../../firmware/board/operator-requests.ts';
import type { Status } from '../../firmware/board/status.ts';
import { GROUPS } from '../../firmware/console/commands.ts';
import type { Session } from '../../firmware/console/context.ts';
import type { UserRole } from '../../firmware/console/grammar.ts';
import type { Call, TimeText } from '../../firmware/console/needs.ts';
import type { eventLine } from '../../firmware/console/screens.ts';
import { statusLines } from '../../firmware/console/status-screen.ts';
import { rowsOf, talk } from '../../firmware/console/talk.ts';
import { Terminal } from '../../firmware/console/terminal.ts';
import { healthyStatus } from '../board/alarms/statuses.ts';
import { checkedProblems, FakeFile } from './fake-file.ts';
import { Screen } from './screen.ts';

export class Desk {
  readonly screen = new Screen();
  readonly calls: Call[] = [];
  readonly guest: string[] = [];
  readonly terminal: Terminal;
  readonly session: Session;
  raw = '';
  leaves = 0;
  status: Status | null = healthyStatus();
  role: UserRole = 'admin';
  private readonly hasUsers: boolean;
  /** Calls of this kind are not answered. */
  holds: Call['do'] | null = null;
  nowMs = 0;
  readonly file = new FakeFile();
  time: TimeText = {
    wallMs: Date.UTC(2026, 2, 1, 4, 5, 6),
    facts: { kernel: null, service: null },
    asked: null,
  };
  /** What the board answers to a request of the operator, and what became of it. */
  answers: RequestAnswer = { ok: true, taken: 17, done: false };
  outcome: 'REQUEST-DONE' | 'REQUEST-FAILED' | null = null;
  /** Whether it ends when it is asked to. */
  stops = true;

  constructor({ hasUsers = true } = {}) {
    this.hasUsers = hasUsers;
    this.session = {
      role: null,
      status: this.status,
      board: '',
      modeRows: null,
      settings: { rows: 24, columns: 80, idleMs: 600_000 },
    };
    const { session } = this;
    this.terminal = new Terminal(
      talk(session),
      {
        rows: () => rowsOf(session),
        groups: GROUPS,
        liveScreen: (columns) => (this.status === null ? [] : statusLines(this.status, columns)),
      },
      0,
      session.settings,
    );
    this.settle();
  }

  login(): this {
    this.type('eva\rsecret12\r');
    return this;
  }

  type(text: string | Uint8Array): this {
    this.terminal.input(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
    this.settle();
    return this;
  }

  later(ms: number): this {
    this.nowMs += ms;
    this.terminal.tick(this.nowMs);
    this.settle();
    return this;
  }

  settle(): void {
    for (;;) {
      const { bytes, calls, forGuest, leavesGuest } = this.terminal.takeOutput();
      this.raw += bytes;
      this.screen.put(bytes);
      this.guest.push(...forGuest.map((part) => Buffer.from(part).toString('latin1')));
      if (leavesGuest) this.leaves += 1;
      if (calls.length === 0) return;
      for (const { id, call } of calls) {
        this.calls.push(call);
        if (call.do !== this.holds) this.terminal.answer(id, this.answer(call));
      }
    }
  }

  private answer(call: Call): unknown {
    switch (call.do) {
      case 'begin':
        return {
          version: '0.1.0',
          line: 'ttyS0',
          board: 'press-7-a',
          hasUsers: this.hasUsers,
          isBare: false,
        };
      case 'login':
        return call.password === 'secret12'
          ? { ok: true, role: this.role }
          : { ok: false, why: 'Login incorrect.' };
      case 'diagnose':
        return ['', 'No supervisor runs.', '  board.toml:3: [board] side is missing'];
      case 'time':
        return this.time;
      case 'config-open':
        return { ok: true, file: '/etc/board.toml', text: this.file.text };
      case 'config-check':
        return checkedProblems(call.text);
      case 'config-commit':
        return this.file.commit(call);
      case 'config-history':
        return this.file.history;
      case 'config-confirm':
        return { ok: false, why: 'no configuration is on trial' };
      case 'config':
        return {
          file: '/etc/board.toml',
          text: 'a = 1\npassword = "x"',
          problems: [],
          trial: null,
        };
      case 'ask':
        return this.askBoard(call.request.do);
      default:
        return { ok: true };
    }
  }

  private askBoard(what: string): unknown {
    const { status } = this;
    if (status === null) return { ok: false, why: 'no board runs there', isAbsent: true };
    if (what === 'status') return { ok: true, status };
    if (what === 'alarms') return { ok: true, alarms: status.alarms, history: [] };
    if (what === 'events') return { ok: true, events: [event(1), event(2), ...this.ended()] };
    if (what === 'ack') return { ok: true, acked: 1 };
    if (what === 'stop' && this.answers.ok && this.stops) this.status = null;
    return this.answers;
  }

  private ended(): BoardEvent[] {
    if (this.outcome === null) return [];
    const data = { taken: 17, why: 'the other board fell silent' };
    return [{ ...event(18), code: this.outcome, text: 'so it ended', data }];
  }
}

export const event = (seq: number) =>
  ({
    seq,
    wallMs: Date.UTC(2026, 2, 1, 4, 5, seq),
    monoMs: seq,
    code: 'GUEST-NOTICE',
    severity: 'info',
    text: 'it says \x1b[2J\u0007 “hello” and goes on for longer than one line of a terminal has room',
    data: {},
  }) as const satisfies Parameters<typeof eventLine>[0];

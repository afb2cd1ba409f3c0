// The control socket as the console uses it: the newest status and what happens, connected again whenever
// the board is back, and questions that are answered in bounded time whatever the board does.
import { ControlClient } from '../board/control/client.ts';
import type { BoardEvent } from '../board/events.ts';
import type { Status } from '../board/status.ts';
import type { BoardAnswer, ControlRequest } from './needs.ts';

export interface BoardLinkEvents {
  /** Null: no board answers. */
  readonly onStatus: (status: Status | null) => void;
  readonly onEvent: (event: BoardEvent) => void;
}

const STATUS_EVERY_MS = 1_000;
const RETRY_MS = 1_000;
const ANSWER_WITHIN_MS = 5_000;

export class BoardLink {
  private readonly path: string;
  private readonly events: BoardLinkEvents;
  private client: ControlClient | null = null;
  private timer: NodeJS.Timeout | null = null;
  private isClosed = false;

  constructor(path: string, events: BoardLinkEvents) {
    this.path = path;
    this.events = events;
  }

  /** Returns when the first status is there, or it is known that there is none. */
  async start(): Promise<void> {
    try {
      const client = await within(ControlClient.open(this.path));
      if (this.isClosed) return client.close();
      this.client = client;
      client.onTold = ({ status, event }) => {
        if (status !== undefined) this.events.onStatus(status);
        if (event !== undefined) this.events.onEvent(event);
      };
      void client.ended.then(() => this.lost());
      this.events.onStatus(await within(client.status()));
      await within(client.ask({ do: 'subscribe', statusEveryMs: STATUS_EVERY_MS }));
    } catch {
      this.client?.close();
      this.lost();
    }
  }

  async ask(request: ControlRequest): Promise<BoardAnswer> {
    try {
      const client = this.client ?? (await within(ControlClient.open(this.path)));
      const answer = await within(client.ask(request));
      if (client !== this.client) client.close();
      if (answer.ok && answer.status !== undefined) this.events.onStatus(answer.status);
      // How client.ts says it.
      if (!answer.ok && answer.why === 'the board has ended') return { ...answer, isAbsent: true };
      return answer;
    } catch (error) {
      return { ok: false, why: (error as Error).message, isAbsent: true };
    }
  }

  close(): void {
    this.isClosed = true;
    if (this.timer !== null) clearTimeout(this.timer);
    this.client?.close();
  }

  private lost(): void {
    this.client = null;
    if (this.isClosed) return;
    this.events.onStatus(null);
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.start(), RETRY_MS);
    this.timer.unref();
  }
}

function within<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    const why = `no answer within ${ANSWER_WITHIN_MS / 1000} s`;
    timer = setTimeout(() => reject(new Error(why)), ANSWER_WITHIN_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

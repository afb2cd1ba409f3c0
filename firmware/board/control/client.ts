// The other end of the control socket: requests with their answers, and what a subscription tells.
import { connect, type Socket } from 'node:net';
import { systemWords } from '../../host/errors.ts';
import type { BoardEvent } from '../events.ts';
import type { Status } from '../status.ts';
import { LineReader } from './lines.ts';
import type { Answer } from './verbs.ts';

export interface Told {
  readonly event?: BoardEvent;
  readonly status?: Status;
  readonly notice?: string;
}

/** No board answers at this socket. */
export class NoBoardError extends Error {
  readonly code = 'E_NO_BOARD';
}

/** A status is some kilobytes; the whole ring of events some hundred. */
const ANSWER_BYTES_MAX = 16 << 20;

export class ControlClient {
  onTold: (told: Told) => void = () => {};
  /** The board closed the socket: it has stopped, or died. */
  readonly ended: Promise<void>;
  hasEnded = false;
  private readonly socket: Socket;
  private readonly waiting: ((answer: Answer) => void)[] = [];
  private readonly reader = new LineReader(ANSWER_BYTES_MAX);
  private sayEnded: () => void = () => {};

  static async open(path: string): Promise<ControlClient> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', (error: NodeJS.ErrnoException) => {
        const refused = error.code === 'ECONNREFUSED' || error.code === 'ENOENT';
        const why = refused ? 'no board runs there' : systemWords(error);
        reject(new NoBoardError(`${path}: ${why}`));
      });
    });
    const client = new ControlClient(socket);
    client.start();
    return client;
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    this.ended = new Promise((resolve) => {
      this.sayEnded = resolve;
    });
  }

  private start(): void {
    const { socket } = this;
    socket.on('data', (bytes) => {
      for (const line of this.reader.push(bytes)) if (line.ok) this.take(line.text);
    });
    socket.on('error', () => {});
    socket.once('close', () => {
      this.hasEnded = true;
      for (const answer of this.waiting.splice(0))
        answer({ ok: false, why: 'the board has ended' });
      this.sayEnded();
    });
  }

  ask(request: { readonly do: string; readonly [field: string]: unknown }): Promise<Answer> {
    return new Promise((resolve) => {
      if (this.socket.destroyed) return resolve({ ok: false, why: 'the board has ended' });
      this.waiting.push(resolve);
      this.socket.write(`${JSON.stringify(request)}\n`);
    });
  }

  async status(): Promise<Status> {
    const answer = await this.ask({ do: 'status' });
    if (!answer.ok) throw new NoBoardError(answer.why);
    return answer.status!;
  }

  close(): void {
    this.socket.destroy();
  }

  private take(line: string): void {
    const message = JSON.parse(line) as Told & Answer;
    if ('ok' in message) this.waiting.shift()?.(message);
    else this.onTold(message);
  }
}

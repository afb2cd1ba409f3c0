// The control socket: many clients, each with its requests in order. A subscriber that does not read
// is dropped with a notice; nothing a client does or omits makes the board wait.
import { chmodSync, chownSync, existsSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { plain } from '../events.ts';
import { type LineRead, LineReader } from './lines.ts';
import {
  type Access,
  type Answered,
  answerLine,
  type Controlled,
  E_READ_ONLY,
  type Subscription,
} from './verbs.ts';

export const LINE_BYTES_MAX = 16 << 10;
const CLIENTS_MAX = 32;
/** Unread bytes of a client after which it counts as not reading. */
const UNREAD_BYTES_MAX = 512 << 10;
/** A dropped client gets this long to read why. */
const LINGER_MS = 2_000;

export interface ControlCounters {
  clients: number;
  requests: number;
  refused: number;
  /** Requests that would change something, on a socket that only reads. */
  readOnly: number;
  oversize: number;
  dropped: number;
}

export class ControlServer {
  readonly counters: ControlCounters = {
    clients: 0,
    requests: 0,
    refused: 0,
    readOnly: 0,
    oversize: 0,
    dropped: 0,
  };
  private readonly board: Controlled;
  private readonly path: string;
  private readonly access: Access;
  private readonly server: Server;
  private readonly clients = new Set<Client>();

  /**
   * Throws an Error in words when another process answers at this path. For its owner alone, and for
   * the members of a group if one is given.
   */
  static async open(
    path: string,
    board: Controlled,
    groupId: number | null = null,
    access: Access = 'full',
  ): Promise<ControlServer> {
    if (existsSync(path)) {
      if (await answers(path)) throw new Error(`${path}: another board answers there`);
      rmSync(path, { force: true });
    }
    const control = new ControlServer(path, board, access);
    await control.listen(groupId);
    return control;
  }

  private constructor(path: string, board: Controlled, access: Access) {
    this.path = path;
    this.access = access;
    this.board = board;
    this.server = createServer((socket) => this.accept(socket));
  }

  /** What was said is still delivered to whoever reads. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const client of this.clients) client.end();
    await closed;
    rmSync(this.path, { force: true });
  }

  private async listen(groupId: number | null): Promise<void> {
    // Closed to all others from its first moment; opened when it belongs to the right group.
    const before = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        this.server.once('error', reject);
        this.server.listen(this.path, () => resolve());
      });
    } finally {
      process.umask(before);
    }
    this.server.on('error', () => {});
    if (groupId === null) return;
    try {
      chownSync(this.path, -1, groupId);
      chmodSync(this.path, 0o660);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  private accept(socket: Socket): void {
    if (this.clients.size >= CLIENTS_MAX) {
      this.counters.refused += 1;
      socket.on('error', () => {});
      socket.end(`${JSON.stringify({ ok: false, why: `at most ${CLIENTS_MAX} clients` })}\n`);
      return;
    }
    this.counters.clients += 1;
    const client = new Client(socket, this.board, this.access, this.counters);
    this.clients.add(client);
    client.start();
    socket.once('close', () => {
      client.forget();
      this.clients.delete(client);
    });
  }
}

class Client {
  private readonly socket: Socket;
  private readonly board: Controlled;
  private readonly access: Access;
  private readonly counters: ControlCounters;
  private readonly reader = new LineReader(LINE_BYTES_MAX);
  private unlisten: (() => void) | null = null;
  private timer: NodeJS.Timeout | null = null;
  private isEnding = false;

  constructor(socket: Socket, board: Controlled, access: Access, counters: ControlCounters) {
    this.socket = socket;
    this.board = board;
    this.access = access;
    this.counters = counters;
  }

  start(): void {
    const { socket } = this;
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes) => this.take(bytes));
  }

  end(): void {
    this.isEnding = true;
    this.forget();
    this.socket.end();
    // Who does not read holds up nothing.
    setTimeout(() => this.socket.destroy(), LINGER_MS).unref();
  }

  forget(): void {
    this.unlisten?.();
    this.unlisten = null;
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  private take(bytes: Uint8Array): void {
    this.answerFrom(this.reader.push(bytes), 0);
  }

  /** In order: an answer that takes its time holds up those behind it, and this client alone. */
  private answerFrom(lines: readonly LineRead[], from: number): void {
    for (let n = from; n < lines.length && !this.isEnding; n++) {
      this.counters.requests += 1;
      const line = lines[n]!;
      if (!line.ok) {
        this.counters.oversize += 1;
        this.say({ ok: false, why: `a line has at most ${LINE_BYTES_MAX} bytes` });
        continue;
      }
      const answered = answerLine(this.board, line.text, this.access);
      if (answered instanceof Promise) {
        this.socket.pause();
        void answered.then((later) => {
          this.answer(later);
          this.socket.resume();
          this.answerFrom(lines, n + 1);
        });
        return;
      }
      this.answer(answered);
    }
  }

  private answer({ answer, subscribe }: Answered): void {
    if (!answer.ok && answer.code === E_READ_ONLY) this.counters.readOnly += 1;
    this.say(answer);
    if (subscribe !== undefined && !this.isEnding) this.subscribe(subscribe);
  }

  /** The newest subscription counts. */
  private subscribe({ after, statusEveryMs }: Subscription): void {
    this.forget();
    const { events } = this.board;
    if (after !== null) for (const event of events.after(after)) this.say({ event });
    this.unlisten = events.listen((event) => this.say({ event }));
    if (statusEveryMs === null) return;
    this.say({ status: this.board.status() });
    this.timer = setInterval(() => this.say({ status: this.board.status() }), statusEveryMs);
  }

  private say(message: object): void {
    if (this.isEnding || this.socket.destroyed) return;
    if (this.socket.writableLength > UNREAD_BYTES_MAX) this.drop();
    else this.socket.write(`${JSON.stringify(message, plain)}\n`);
  }

  private drop(): void {
    this.counters.dropped += 1;
    this.socket.write(`${JSON.stringify({ notice: 'dropped: reads too slowly' })}\n`);
    this.end();
    this.board.events.tell('CLIENT-DROPPED', 'a reader of events was too slow', {});
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

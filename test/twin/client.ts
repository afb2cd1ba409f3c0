// The plant's client as a test sees it: it lives in a process of its own (client-process.ts), through
// every fault, and what it was ever told wrong is kept here.
import { type ChildProcess, fork } from 'node:child_process';
import { connect } from 'node:net';
import { repoPath } from '../harness/index.ts';
import type { AnswerFault } from './client-lines.ts';
import { GUEST_IP } from './network.ts';

export interface ClientOrder {
  readonly do: 'connect' | 'window' | 'glance' | 'pause' | 'resume';
}
export type ClientWord =
  | { readonly say: 'connected' }
  | { readonly say: 'broken'; readonly why: string; readonly lines: number }
  | { readonly say: 'fault'; readonly fault: AnswerFault | 'repeat'; readonly words: string }
  | { readonly say: 'glance'; readonly answered: number }
  | { readonly say: 'window'; readonly facts: WindowFacts };

export interface WindowFacts {
  /** The longest time without an answer while one was due. */
  readonly longestGapMs: number;
  /** The same of datagrams; null: none are sent. */
  readonly udpGapMs: number | null;
  readonly udpLost: number;
  readonly udpLatenciesMs: readonly number[];
  readonly intervalMs: number;
  readonly latenciesMs: readonly number[];
  /** Lines answered in this window, and in this connection. */
  readonly lines: number;
  readonly answered: number;
  readonly answeredBytes: number;
  readonly outstanding: number;
  /** The last record of the guest's journal that it was told is on the disk. */
  readonly journal: number;
}

export interface ClientOptions {
  /** `frames`: for the small guest, which knows no TCP. */
  readonly kind?: 'lines' | 'frames';
  readonly lineMs?: number;
  readonly udpMs?: number;
  /** Of `frames`: how long an answer may take before the question is asked again. */
  readonly againMs?: number;
}

export class PlantClient {
  /** What was wrong, ever: a broken connection, a byte lost, repeated, altered. Must stay empty. */
  readonly faults: string[] = [];
  connections = 0;
  private answered = 0;
  /** Of connections that ended; their loss was expected if `faults` is empty. */
  linesBefore = 0;
  /** Its end is no fault: whoever says so connects anew. */
  mayBreak = false;
  private readonly process: ChildProcess;
  private readonly waiting: ((facts: WindowFacts) => void)[] = [];
  private connected: () => void = () => {};

  constructor({ kind = 'lines', lineMs = 5, udpMs = 0, againMs }: ClientOptions = {}) {
    const again = againMs === undefined ? [] : [String(againMs)];
    this.process = fork(
      repoPath('dist/test/twin/client-process.js'),
      [kind, String(lineMs), String(udpMs), ...again],
      { execArgv: ['--enable-source-maps'] },
    );
    this.process.on('message', (word: ClientWord) => this.hear(word));
    this.process.on('exit', (code) => {
      if (code !== 0 && code !== null) this.faults.push(`the client ended with ${code}`);
    });
  }

  /** A new connection, as soon as somebody answers; throws when nobody does. */
  async connect(timeoutMs = CONNECT_MS): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const late = () => reject(new Error(`the guest took no connection in ${timeoutMs} ms`));
      const timer = setTimeout(late, timeoutMs);
      this.connected = () => {
        clearTimeout(timer);
        resolve();
      };
      this.order({ do: 'connect' });
    });
  }

  /** What happened since it was last asked. */
  window(): Promise<WindowFacts> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.order({ do: 'window' });
    });
  }

  /** Says nothing more, or goes on. */
  pause(): void {
    this.order({ do: 'pause' });
  }

  resume(): void {
    this.order({ do: 'resume' });
  }

  /** For a picture: without starting a new window. */
  glance(): { answered: number; faults: number; connections: number } {
    if (this.connections > 0) this.order({ do: 'glance' });
    return { answered: this.answered, faults: this.faults.length, connections: this.connections };
  }

  /** After this many answers more; `facts` are of the whole time. Throws when they do not come. */
  async answers(count: number, timeoutMs: number): Promise<WindowFacts> {
    const endMs = performance.now() + timeoutMs;
    const seen: WindowFacts[] = [];
    for (let lines = 0; lines < count; ) {
      if (performance.now() > endMs)
        throw new Error(`the guest gave ${lines} of ${count} answers in ${timeoutMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      const facts = await this.window();
      seen.push(facts);
      lines += facts.lines;
    }
    return joined(seen);
  }

  close(): void {
    this.process.removeAllListeners('exit');
    this.process.kill('SIGKILL');
  }

  private order(order: ClientOrder): void {
    this.process.send(order);
  }

  private hear(word: ClientWord): void {
    switch (word.say) {
      case 'connected':
        this.connections += 1;
        this.connected();
        return;
      case 'broken':
        this.linesBefore += word.lines;
        if (!this.mayBreak)
          this.faults.push(`connection lost after ${word.lines} lines: ${word.why}`);
        this.mayBreak = false;
        return;
      case 'fault':
        this.faults.push(`${word.fault}: ${word.words}`);
        return;
      case 'glance':
        this.answered = word.answered;
        return;
      case 'window':
        this.waiting.shift()?.(word.facts);
        return;
    }
  }
}

const POLL_MS = 20;
/** A guest may have to boot first, on a machine that is busy with other things. */
const CONNECT_MS = 300_000;

/** Several windows that follow each other as one. */
export function joined(windows: readonly WindowFacts[]): WindowFacts {
  const last = windows.at(-1);
  if (last === undefined) throw new Error('no window');
  const all = <T>(of: (facts: WindowFacts) => readonly T[]) => windows.flatMap(of);
  const most = (of: (facts: WindowFacts) => number) => Math.max(...windows.map(of));
  return {
    ...last,
    longestGapMs: most((facts) => facts.longestGapMs),
    udpGapMs: last.udpGapMs === null ? null : most((facts) => facts.udpGapMs ?? 0),
    udpLost: windows.reduce((sum, facts) => sum + facts.udpLost, 0),
    udpLatenciesMs: all((facts) => facts.udpLatenciesMs),
    latenciesMs: all((facts) => facts.latenciesMs),
    lines: windows.reduce((sum, facts) => sum + facts.lines, 0),
  };
}

/** A command in the guest's shell, over a connection of its own: what it printed. */
export async function guestShell(command: string, timeoutMs = 30_000): Promise<string> {
  const socket = connect({ port: 7, host: GUEST_IP });
  let text = '';
  try {
    return await new Promise<string>((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`guest, ${command}: ${why}\n${text}`));
      socket.setTimeout(timeoutMs, () => fail('no answer'));
      socket.on('error', (error) => fail(error.message));
      socket.on('close', () => fail('connection closed'));
      socket.on('data', (bytes) => {
        text += bytes;
        const end = /@status (\d+)\n$/.exec(text);
        if (end === null) return;
        if (end[1] === '0') resolve(text.slice(0, end.index));
        else fail(`status ${end[1]}`);
      });
      socket.write(`!${command}\n`);
    });
  } finally {
    socket.destroy();
  }
}

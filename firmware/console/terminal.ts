// The terminal of one console: bytes in, bytes out, calls to the outside and their answers. Runs one
// dialogue, edits its lines, pages its text, and passes the guest's console through. A flood, binary noise
// or an endless line changes nothing here but a counter. No I/O and no clock of its own. Pure.
import { ascii, fold } from './ascii.ts';
import { LineEditor } from './editor.ts';
import { complete, nextWords, type Row } from './grammar.ts';
import { type Key, KeyReader } from './keys.ts';
import { type Call, type Dialogue, Hangup, Interrupted, type Need } from './needs.ts';

/** How the commands of the moment look, for `?` and Tab. */
export interface Surroundings {
  rows(): readonly Row[];
  readonly groups: Readonly<Record<string, string>>;
  /** Redrawn while something is watched. */
  liveScreen(columns: number): readonly string[];
}

export interface Settings {
  /** Lines of a page; 0: no pages. */
  rows: number;
  columns: number;
  idleMs: number;
}

export interface TerminalOutput {
  readonly bytes: string;
  readonly calls: readonly { readonly id: number; readonly call: Call }[];
  readonly forGuest: readonly Uint8Array[];
  /** Asks that the guest's console be let go. */
  readonly leavesGuest: boolean;
}

export interface TerminalCounters {
  noise: number;
  refused: number;
  dropped: number;
}

/** More than fit on a screen are shown as words alone. */
const HELP_LINES_MAX = 20;
const TYPED_AHEAD_MAX = 2_000;
const GUEST_ESCAPE = 0x1d;
const LIVE_END = '(live; q ends)';
const MORE = '--More-- (space, enter, q)';

export class Terminal {
  readonly settings: Settings;
  isEnded = false;
  private readonly around: Surroundings;
  private readonly dialogue: Dialogue;
  private readonly keys = new KeyReader();
  private readonly editor = new LineEditor();
  private need: Need | null = null;
  private out: string[] = [];
  private calls: { id: number; call: Call }[] = [];
  private forGuest: Uint8Array[] = [];
  private leaves = false;
  private callId = 0;
  private ahead: Key[] = [];
  private dropped = 0;
  private page: string[] = [];
  private liveLines: string[] = [];
  private inputMs: number;
  private nowMs: number;
  private waitUntilMs = 0;

  constructor(dialogue: Dialogue, around: Surroundings, nowMs: number, settings: Settings) {
    this.settings = settings;
    this.dialogue = dialogue;
    this.around = around;
    this.nowMs = nowMs;
    this.inputMs = nowMs;
    this.resume(undefined);
  }

  get counters(): TerminalCounters {
    return { noise: this.keys.noise, refused: this.editor.refused, dropped: this.dropped };
  }

  input(bytes: Uint8Array): void {
    this.inputMs = this.nowMs;
    if (this.need?.need === 'guest') {
      this.toGuest(bytes);
      return;
    }
    for (const key of this.keys.push(bytes)) this.take(key);
  }

  answersTo(id: number): boolean {
    return this.need?.need === 'call' && id === this.callId;
  }

  /** Of a call; late ones, of what was interrupted, are not waited for any more. */
  answer(id: number, value: unknown): void {
    if (this.answersTo(id)) this.resume(value);
  }

  tick(nowMs: number): void {
    this.nowMs = nowMs;
    const { need } = this;
    if (need?.need === 'watch' && need.what === 'status') this.drawLive();
    if (need?.need === 'wait' && nowMs >= this.waitUntilMs) this.resume(undefined);
    if (nowMs - this.inputMs < this.settings.idleMs || this.isEnded) return;
    this.leaves = true;
    this.write('\nNobody has typed for a while: logged out.\n');
    this.throwIn(new Hangup());
  }

  /** Something happened on the board. */
  told(text: string): void {
    if (this.need?.need === 'watch' && this.need.what === 'log') this.write(text);
  }

  fromGuest(bytes: Uint8Array): void {
    // Byte for byte: what the guest draws is the guest's business.
    if (this.need?.need === 'guest') this.out.push(Buffer.from(bytes).toString('latin1'));
  }

  guestEnded(why: string): void {
    if (this.need?.need !== 'guest') return;
    this.write(`\n[guest console: ${why}]\n`);
    this.resume(undefined);
  }

  /** The line itself is gone. */
  hangup(): void {
    this.throwIn(new Hangup());
  }

  takeOutput(): TerminalOutput {
    const { calls, forGuest, leaves: leavesGuest } = this;
    const bytes = this.out.join('');
    this.out = [];
    this.calls = [];
    this.forGuest = [];
    this.leaves = false;
    return { bytes, calls, forGuest, leavesGuest };
  }

  // --- the dialogue ------------------------------------------------------------------------------

  private resume(value: unknown): void {
    this.step(() => this.dialogue.next(value));
  }

  private throwIn(error: Error): void {
    if (this.isEnded) return;
    this.page = [];
    this.step(() => this.dialogue.throw(error));
  }

  private step(run: () => IteratorResult<Need, void>): void {
    this.need = null;
    let result: IteratorResult<Need, void>;
    try {
      result = run();
      // What needs no waiting is done here, so that a long dialogue is no deep stack.
      while (result.done !== true && this.isDoneAtOnce(result.value))
        result = this.dialogue.next(undefined);
    } catch (error) {
      if (!(error instanceof Hangup) && !(error instanceof Interrupted)) throw error;
      this.isEnded = true;
      return;
    }
    if (result.done === true) {
      this.isEnded = true;
      return;
    }
    this.need = result.value;
    this.useTypedAhead();
  }

  private isDoneAtOnce(need: Need): boolean {
    switch (need.need) {
      case 'print':
        this.write(need.text);
        return true;
      case 'show':
        this.page = fold(need.text, this.settings.columns).replace(/\n$/, '').split('\n');
        return this.nextPage(this.settings.rows - 1);
      case 'line':
      case 'secret': {
        const isSecret = need.need === 'secret';
        this.out.push(this.editor.begin(ascii(need.prompt), isSecret, this.settings.columns));
        return false;
      }
      case 'call':
        this.callId += 1;
        this.calls.push({ id: this.callId, call: need.call });
        return false;
      case 'watch':
        if (need.what === 'status') this.beginLive();
        return false;
      case 'wait':
        this.waitUntilMs = this.nowMs + need.ms;
        return false;
      case 'guest':
        return false;
    }
  }

  // --- keys --------------------------------------------------------------------------------------

  private take(key: Key): void {
    if (this.isEnded) return;
    const need = this.need?.need;
    if (need === 'call' || need === 'wait') {
      if (key.key === 'cancel') {
        this.ahead = [];
        this.write('^C\n');
        this.throwIn(new Interrupted());
      } else if (this.ahead.length < TYPED_AHEAD_MAX) this.ahead.push(key);
      else this.dropped += 1;
      return;
    }
    if (need === 'watch') this.watched(key);
    else if (need === 'show') this.pageKey(key);
    else if (need === 'line' || need === 'secret') this.edit(key, need === 'secret');
  }

  private useTypedAhead(): void {
    while (this.ahead.length > 0 && !this.isEnded) {
      const need = this.need?.need;
      if (need === 'call' || need === 'wait') return;
      this.take(this.ahead.shift()!);
    }
  }

  private edit(key: Key, isSecret: boolean): void {
    const { editor } = this;
    const isCommand = this.need?.need === 'line' && this.need.isCommand === true;
    if (key.key === 'letter') {
      if (key.letter === '?' && isCommand) this.help();
      else this.out.push(editor.insert(key.letter));
      return;
    }
    switch (key.key) {
      case 'enter': {
        const { text } = editor;
        this.out.push('\r\n');
        if (isCommand) editor.remember(text);
        this.resume(text);
        return;
      }
      case 'tab':
        if (isCommand) this.completeWord();
        return;
      case 'cancel':
        this.out.push('^C\r\n');
        this.throwIn(new Interrupted());
        return;
      case 'eof':
        if (editor.text === '') {
          this.out.push('\r\n');
          this.throwIn(new Hangup());
        } else if (!isSecret) this.out.push(editor.key({ key: 'delete' }) ?? '');
        return;
      default:
        this.out.push(editor.key(key) ?? '');
    }
  }

  private help(): void {
    const next = nextWords(this.around.rows(), this.editor.beforeCursor, this.around.groups);
    const width = Math.max(16, ...next.map(({ word }) => word.length + 2));
    const lines =
      next.length > HELP_LINES_MAX
        ? [`  ${next.map(({ word }) => word).join('  ')}`]
        : next.map(({ word, help }) => `  ${word.padEnd(width)}${help}`.trimEnd());
    this.write(`?\n${lines.length === 0 ? '  nothing fits here' : lines.join('\n')}\n`);
    this.out.push(this.editor.redraw());
  }

  private completeWord(): void {
    const { add, choices } = complete(this.around.rows(), this.editor.beforeCursor);
    if (add !== '') this.out.push(this.editor.insert(add));
    else if (choices.length === 0) this.out.push('\x07');
    else {
      this.write(`\n  ${choices.join('  ')}\n`);
      this.out.push(this.editor.redraw());
    }
  }

  // --- pages -------------------------------------------------------------------------------------

  /** True when there is no more. */
  private nextPage(lines: number): boolean {
    const count = this.settings.rows === 0 ? this.page.length : lines;
    const now = this.page.splice(0, count);
    this.write(`${now.join('\n')}\n`);
    if (this.page.length === 0) return true;
    this.out.push(MORE);
    return false;
  }

  private pageKey(key: Key): void {
    this.out.push('\r\x1b[K');
    if (key.key === 'cancel' || (key.key === 'letter' && /[qQ]/.test(key.letter))) {
      this.page = [];
      this.resume(undefined);
      return;
    }
    const lines = key.key === 'enter' || key.key === 'down' ? 1 : this.settings.rows - 1;
    if (this.nextPage(lines)) this.resume(undefined);
  }

  // --- live view ---------------------------------------------------------------------------------

  private beginLive(): void {
    this.liveLines = [];
    this.out.push('\x1b[H\x1b[J');
    this.drawLive();
  }

  /** Only what has changed: a whole screen takes a fifth of a second at 115200. */
  private drawLive(): void {
    const lines = [...this.around.liveScreen(this.settings.columns).map(ascii), LIVE_END];
    for (const [n, line] of lines.entries()) {
      if (line === this.liveLines[n]) continue;
      this.out.push(`\x1b[${n + 1};1H${line}\x1b[K`);
    }
    if (lines.length < this.liveLines.length) this.out.push(`\x1b[${lines.length + 1};1H\x1b[J`);
    if (lines.some((line, n) => line !== this.liveLines[n]))
      this.out.push(`\x1b[${lines.length};1H`);
    this.liveLines = lines;
  }

  private watched(key: Key): void {
    const isEnd =
      key.key === 'cancel' ||
      key.key === 'eof' ||
      key.key === 'enter' ||
      (key.key === 'letter' && /[qQ]/.test(key.letter));
    if (!isEnd) return;
    this.out.push('\r\n');
    this.resume(undefined);
  }

  // --- guest -------------------------------------------------------------------------------------

  private toGuest(bytes: Uint8Array): void {
    const at = bytes.indexOf(GUEST_ESCAPE);
    const mine = at < 0 ? bytes : bytes.subarray(0, at);
    if (mine.length > 0) this.forGuest.push(mine.slice());
    if (at < 0) return;
    this.leaves = true;
    this.write('\n[left the guest console]\n');
    this.resume(undefined);
    if (at + 1 < bytes.length) this.input(bytes.subarray(at + 1));
  }

  private write(text: string): void {
    this.out.push(fold(text, this.settings.columns).replace(/\n/g, '\r\n'));
  }
}

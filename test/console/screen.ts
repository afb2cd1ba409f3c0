// A VT100 of 80x24 as far as the console uses one: what a technician would see of these bytes. Anything it
// does not know is an error: the console must not use it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { assert, repoPath } from '../harness/index.ts';

const ESC = '\x1b';

export class Screen {
  private readonly columns = 80;
  private readonly rows = 24;
  private lines: string[] = [''];
  private row = 0;
  private column = 0;
  private rest = '';
  /** The widest line ever: nothing may wrap. */
  widest = 0;

  put(text: string): void {
    let from = this.rest + text;
    this.rest = '';
    while (from !== '') {
      const sequence = /^\[([\d;]*)([A-Za-z])/.exec(from.slice(1));
      if (from[0] !== ESC) {
        this.letter(from[0]!);
        from = from.slice(1);
      } else if (sequence === null) {
        // Perhaps cut in the middle.
        if (from.length > 10) throw new Error(`unknown sequence ${JSON.stringify(from)}`);
        this.rest = from;
        return;
      } else {
        this.control(sequence[2]!, sequence[1]!);
        from = from.slice(1 + sequence[0].length);
      }
    }
  }

  get text(): string {
    const all = this.lines.slice(-this.rows).map((line) => line.trimEnd());
    return `${all.join('\n').trimEnd()}\n`;
  }

  /** All that scrolled by, too. */
  get all(): string {
    return this.lines.map((line) => line.trimEnd()).join('\n');
  }

  private letter(letter: string): void {
    if (letter === '\r') this.column = 0;
    else if (letter === '\n') {
      this.row += 1;
      this.lines[this.row] ??= '';
    } else if (letter === '\b') this.column = Math.max(0, this.column - 1);
    else if (letter === '\x07') return;
    else if (letter < ' ' || letter > '~') throw new Error(`sent ${JSON.stringify(letter)}`);
    else {
      const line = (this.lines[this.row] ?? '').padEnd(this.column);
      this.lines[this.row] = line.slice(0, this.column) + letter + line.slice(this.column + 1);
      this.column += 1;
      this.widest = Math.max(this.widest, this.column);
      if (this.column > this.columns) throw new Error(`wraps: ${this.lines[this.row]}`);
    }
  }

  private get top(): number {
    return Math.max(0, this.lines.length - this.rows);
  }

  private control(final: string, given: string): void {
    const [first = 0, second = 0] = given.split(';').map(Number);
    if (final === 'K') this.lines[this.row] = (this.lines[this.row] ?? '').slice(0, this.column);
    else if (final === 'J') {
      this.control('K', '');
      this.lines.length = this.row + 1;
    } else if (final === 'D') this.column = Math.max(0, this.column - Math.max(1, first));
    else if (final === 'H') {
      this.row = this.top + Math.max(1, first) - 1;
      this.column = Math.max(1, second) - 1;
      while (this.lines.length <= this.row) this.lines.push('');
    } else throw new Error(`unknown sequence ESC[${given}${final}`);
  }
}

/** Against the screen that is kept. */
export function golden(name: string, text: string): void {
  const path = repoPath(`test/vectors/console/${name}.txt`);
  if (process.env.TWINSTEP_WRITE_VECTORS === '1') writeFileSync(path, text);
  assert.ok(existsSync(path), `no ${path}`);
  assert.fixture(text, readFileSync(path, 'utf8'), name);
}

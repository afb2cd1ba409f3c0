// One line being typed: what each key does to it, and the bytes that show it. A line longer than the
// screen scrolls sideways, so that nothing ever wraps. A letter typed at the end costs one byte. Pure.
import type { Key } from './keys.ts';

export const LINE_MAX = 500;
const HISTORY_MAX = 100;

export class LineEditor {
  /** Letters that did not fit. */
  refused = 0;
  text = '';
  private at = 0;
  private prompt = '';
  private isSecret = false;
  private columns = 80;
  private readonly past: string[] = [];
  /** Where in the history; equal to its length: the line being typed. */
  private place = 0;
  private typed = '';

  /** A new line; answers the bytes that show it. */
  begin(prompt: string, isSecret: boolean, columns: number): string {
    this.prompt = prompt;
    this.isSecret = isSecret;
    this.columns = columns;
    this.set('');
    this.place = this.past.length;
    return prompt;
  }

  remember(line: string): void {
    if (line.trim() === '' || line === this.past.at(-1)) return;
    this.past.push(line);
    if (this.past.length > HISTORY_MAX) this.past.shift();
  }

  get beforeCursor(): string {
    return this.text.slice(0, this.at);
  }

  insert(letters: string): string {
    if (this.text.length + letters.length > LINE_MAX) {
      this.refused += letters.length;
      return '\x07';
    }
    const isAtEnd = this.at === this.text.length;
    this.text = this.text.slice(0, this.at) + letters + this.text.slice(this.at);
    this.at += letters.length;
    if (this.isSecret) return '';
    const fits = this.prompt.length + this.text.length < this.columns - 1;
    return isAtEnd && fits ? letters : this.redraw();
  }

  /** Keys that change the line; the others are the owner's. Null: not mine. */
  key({ key }: Exclude<Key, { key: 'letter' }>): string | null {
    const { text, at } = this;
    switch (key) {
      case 'backspace':
        return at === 0 ? '' : this.cut(at - 1, at);
      case 'delete':
        return this.cut(at, at + 1);
      case 'left':
        return this.move(at - 1);
      case 'right':
        return this.move(at + 1);
      case 'home':
        return this.move(0);
      case 'end':
        return this.move(text.length);
      case 'kill-line':
        return this.cut(0, at);
      case 'kill-word':
        return this.cut(text.slice(0, at).replace(/\S+\s*$/, '').length, at);
      case 'kill-rest':
        return this.cut(at, text.length);
      case 'up':
        return this.recall(this.place - 1);
      case 'down':
        return this.recall(this.place + 1);
      case 'redraw':
        return `\r\n${this.redraw()}`;
      default:
        return null;
    }
  }

  /** The line as it stands, from the left edge on. */
  redraw(): string {
    if (this.isSecret) return `\r${this.prompt}\x1b[K`;
    const room = Math.max(8, this.columns - 1 - this.prompt.length);
    const from = Math.max(0, this.at - room + 1);
    const shown = this.text.slice(from, from + room);
    const back = shown.length - (this.at - from);
    return `\r${this.prompt}${shown}\x1b[K${back > 0 ? `\x1b[${back}D` : ''}`;
  }

  private cut(from: number, to: number): string {
    const isLast = to === this.text.length && from === to - 1;
    const fits = this.prompt.length + this.text.length < this.columns - 1;
    this.text = this.text.slice(0, from) + this.text.slice(to);
    this.at = Math.min(from, this.text.length);
    if (this.isSecret) return '';
    return isLast && fits ? '\b \b' : this.redraw();
  }

  private move(to: number): string {
    this.at = Math.max(0, Math.min(this.text.length, to));
    return this.redraw();
  }

  private recall(place: number): string {
    if (this.isSecret || place < 0 || place > this.past.length) return '';
    if (this.place === this.past.length) this.typed = this.text;
    this.place = place;
    this.set(place === this.past.length ? this.typed : this.past[place]!);
    return this.redraw();
  }

  private set(text: string): void {
    this.text = text;
    this.at = text.length;
  }
}

// Bytes from a terminal into keys. Whatever comes, it ends as keys or as a count of noise: an escape
// sequence is given up after a few bytes, letters beyond ASCII are none. Pure.

export type Key = { readonly key: 'letter'; readonly letter: string } | { readonly key: KeyName };

export type KeyName =
  | 'enter'
  | 'tab'
  | 'backspace'
  | 'delete'
  | 'left'
  | 'right'
  | 'up'
  | 'down'
  | 'home'
  | 'end'
  | 'kill-line'
  | 'kill-word'
  | 'kill-rest'
  | 'redraw'
  | 'cancel'
  | 'eof'
  | 'stop';

const CONTROLS: Readonly<Record<number, KeyName>> = {
  1: 'home',
  2: 'left',
  3: 'cancel',
  4: 'eof',
  5: 'end',
  6: 'right',
  8: 'backspace',
  9: 'tab',
  10: 'enter',
  11: 'kill-rest',
  12: 'redraw',
  13: 'enter',
  14: 'down',
  16: 'up',
  21: 'kill-line',
  23: 'kill-word',
  26: 'stop',
  127: 'backspace',
};
const FINALS: Readonly<Record<string, KeyName>> = {
  A: 'up',
  B: 'down',
  C: 'right',
  D: 'left',
  H: 'home',
  F: 'end',
};
const NUMBERED: Readonly<Record<string, KeyName>> = {
  '1': 'home',
  '3': 'delete',
  '4': 'end',
  '7': 'home',
  '8': 'end',
};
const ESC = 27;
const SEQUENCE_MAX = 12;

export class KeyReader {
  /** Bytes that were no key. */
  noise = 0;
  /** Null: outside; otherwise what came after ESC. */
  private sequence: string | null = null;
  private wasReturn = false;

  push(bytes: Uint8Array): Key[] {
    const keys: Key[] = [];
    for (const byte of bytes) {
      const key = this.take(byte);
      if (key !== null) keys.push(key);
    }
    return keys;
  }

  private take(byte: number): Key | null {
    const afterReturn = this.wasReturn;
    this.wasReturn = byte === 13;
    if (byte === ESC) {
      this.noise += this.sequence?.length ?? 0;
      this.sequence = '';
      return null;
    }
    if (this.sequence !== null) return this.inSequence(byte);
    // CR LF is one Enter; so is CR NUL of a telnet line.
    if (afterReturn && (byte === 10 || byte === 0)) return null;
    if (byte >= 32 && byte < 127) return { key: 'letter', letter: String.fromCharCode(byte) };
    const key = CONTROLS[byte];
    if (key !== undefined) return { key };
    this.noise += 1;
    return null;
  }

  private inSequence(byte: number): Key | null {
    const letter = String.fromCharCode(byte);
    const sequence = this.sequence + letter;
    const opened = sequence[0] === '[' || sequence[0] === 'O';
    const isWhole = sequence.length > 1 && byte >= 64 && byte < 127;
    if (!opened || isWhole || sequence.length > SEQUENCE_MAX || byte < 32 || byte > 126) {
      this.sequence = null;
      return this.meaning(sequence, letter, opened && isWhole, byte);
    }
    this.sequence = sequence;
    return null;
  }

  private meaning(sequence: string, last: string, isWhole: boolean, byte: number): Key | null {
    const number = /^\[(\d)~$/.exec(sequence)?.[1];
    const key = !isWhole ? CONTROLS[byte] : number === undefined ? FINALS[last] : NUMBERED[number];
    if (key !== undefined) return { key };
    this.noise += sequence.length;
    return null;
  }
}

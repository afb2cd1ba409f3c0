// What a board process says to its supervisor, one line each: that it is up, and which record is safe
// on its disk under which start. The supervisor says the last word of a board from these lines and from
// nothing else: a disk may be somebody else's. Pure; bytes that make no sense are counted and dropped.
import { type DiskRecord, STANDINGS, type Standing } from './arbiter-types.ts';

export type BoardWord =
  /** Its control socket is open: people can ask it. */
  | { readonly word: 'up' }
  /** On disk now; said before anything follows from it. */
  | { readonly word: 'record'; readonly boot: number; readonly record: DiskRecord };

/** A line that grows longer is none of ours. */
const LINE_CHARS_MAX = 200;

export function encodeBoardWord(said: BoardWord): string {
  if (said.word === 'up') return 'up\n';
  const { boot, record } = said;
  return `record ${boot} ${record.generation} ${record.standing}\n`;
}

export function decodeBoardWord(line: string): BoardWord | null {
  if (line === 'up') return { word: 'up' };
  const found = /^record (\d{1,10}) (\d{1,10}) ([a-z]+)$/.exec(line);
  if (found === null) return null;
  const [, boot, generation, standing] = found;
  if (Number(boot) === 0 || !STANDINGS.includes(standing as Standing)) return null;
  const record = { generation: Number(generation), standing: standing as Standing };
  return { word: 'record', boot: Number(boot), record };
}

export class BoardWordReader {
  /** Lines that made no sense. */
  broken = 0;
  private rest = '';

  push(text: string): BoardWord[] {
    const lines = (this.rest + text).split('\n');
    this.rest = (lines.pop() ?? '').slice(0, LINE_CHARS_MAX + 1);
    const words: BoardWord[] = [];
    for (const line of lines) {
      const word = line.length > LINE_CHARS_MAX ? null : decodeBoardWord(line);
      if (word === null) this.broken += 1;
      else words.push(word);
    }
    return words;
  }
}

// What the client says and must be told: line n follows from n alone, and so does every answer. Pure,
// so that a test can hold it against every lie.
import { Fnv64 } from '../guests/plant/fnv.ts';

/** Line n, from 1: its number and 16 to 143 hexadecimal digits that follow from it. */
export function lineOf(n: number): string {
  let word = Math.imul(n, 0x9e3779b1) >>> 0;
  let digits = '';
  for (let i = 0; i < 2 + (n % 17); i++) {
    word = Math.imul(word ^ (word >>> 15), 0x85ebca77) >>> 0;
    digits += word.toString(16).padStart(8, '0');
  }
  return `${n} ${digits}\n`;
}

export type AnswerFault = 'form' | 'number' | 'sum' | 'journal';

/** Everything that was answered in one connection, held against what was said. */
export class Answers {
  /** Lines answered; the next answer must be one more. */
  answered = 0;
  answeredBytes = 0;
  journal = 0;
  private readonly sum = new Fnv64();

  take(text: string): { ok: true } | { ok: false; fault: AnswerFault; words: string } {
    const [, number, sum, journal] = /^(\d+) ([0-9a-f]{16}) (\d+)$/.exec(text) ?? [];
    const wrong = (fault: AnswerFault, words: string) => ({ ok: false, fault, words }) as const;
    if (number === undefined || journal === undefined) return wrong('form', `"${text}"`);
    const n = this.answered + 1;
    if (Number(number) !== n) return wrong('number', `${n} was due, ${number} came`);
    const line = Buffer.from(lineOf(n));
    if (this.sum.add(line).hex !== sum)
      return wrong('sum', `line ${n}: the guest heard other bytes`);
    if (Number(journal) < this.journal)
      return wrong('journal', `record ${this.journal} was on the disk, now ${journal}`);
    this.answered = n;
    this.answeredBytes += line.length;
    this.journal = Number(journal);
    return { ok: true };
  }
}

// What a check of `twinstep doctor` answers: what was found, in words, and what to do.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Verdict = 'ok' | 'warn' | 'fail';

export interface Finding {
  readonly area: string;
  readonly verdict: Verdict;
  readonly found: string;
  /** What to do; empty when there is nothing. */
  readonly todo: string;
}

export const find = (area: string, verdict: Verdict, found: string, todo = ''): Finding => ({
  area,
  verdict,
  found,
  todo,
});

export function readText(...parts: string[]): string | null {
  try {
    return readFileSync(join(...parts), 'utf8').trim();
  } catch {
    return null;
  }
}

// Which event codes the code tells: what is handed on or chosen, but not what is only compared with, and not the
// tables of codes and of what they mean as alarms.
import { readdirSync, readFileSync } from 'node:fs';
import { repoPath } from '../harness/index.ts';

const TABLES = /^(event-codes|codes|watch)\.ts$/;

/** The text of every source below these folders. */
export function sources(...folders: readonly string[]): string[] {
  return folders.flatMap((folder) =>
    readdirSync(repoPath(folder), { recursive: true, withFileTypes: true })
      .filter(({ name }) => name.endsWith('.ts') && !TABLES.test(name))
      .map(({ parentPath, name }) => readFileSync(`${parentPath}/${name}`, 'utf8')),
  );
}

export function codesIn(texts: readonly string[]): Set<string> {
  const told = texts.flatMap((text) => [
    ...text.matchAll(/[(,?:]\s*'([A-Z]+(?:-[A-Z]+)+)'/g),
    ...toldAtOnce(text),
  ]);
  return new Set(told.map(([, code = '']) => code));
}

/** Of calls that can only be about events. */
export function toldAtOnce(text: string): RegExpStringIterator<RegExpExecArray> {
  return text.matchAll(/\b(?:tell|tellBurst|event)\(\s*'([A-Z]+(?:-[A-Z]+)*)'/g);
}

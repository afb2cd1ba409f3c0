// The options of the commands in package.json: what none of them knows ends with one line, not with a long run
// of something else.
import type { ParseArgsConfig, parseArgs } from 'node:util';
import { readArguments } from '../../firmware/cli/arguments.ts';
import { EXIT, UsageError } from '../../firmware/cli/usage.ts';
import { nearest } from '../../firmware/words/near.ts';

/** Ends the process where it makes no sense. */
export function optionsOf<const T extends ParseArgsConfig>(
  command: string,
  config: T,
): ReturnType<typeof parseArgs<T>> {
  try {
    return readArguments(config);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return endWith(`${command}: ${error.message}`);
  }
}

/** Of words that name something: the ones that are known, or the end. */
export function knownOf(command: string, given: readonly string[], known: readonly string[]) {
  for (const word of given) {
    if (known.includes(word)) continue;
    const near = nearest(word, known);
    const more = near === undefined ? `known: ${known.join(', ')}` : `did you mean "${near}"?`;
    endWith(`${command}: there is no "${word}"; ${more}`);
  }
  return given;
}

/** What a pattern that matches no file may have meant: a folder or a file of those there are. */
export function nearPath(pattern: string, files: readonly string[]): string | undefined {
  const parts = files.flatMap((file) => file.replace(/\.\w+\.js$/, '').split('/'));
  const paths = files.map((file) => file.replace(/\.\w+\.js$/, ''));
  return nearest(pattern.replace(/^\^|\/$|\$$/g, ''), [...new Set([...parts, ...paths])]);
}

function endWith(words: string): never {
  console.error(words);
  process.exit(EXIT.usage);
}

// Command lines into values, with complaints in one line that name the word somebody meant. Tools of the
// tests read theirs with it, too.
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { didYouMean } from '../words/near.ts';
import { UsageError } from './usage.ts';

type Options = NonNullable<ParseArgsConfig['options']>;

/** Throws a UsageError. */
export function parseStrictly(args: readonly string[], options: Options): object {
  return readArguments({ args: [...args], options, strict: true, allowPositionals: false }).values;
}

/** The same for commands that take words beside their options. */
export function parseStrictlyWith(
  args: readonly string[],
  options: Options,
): { values: object; positionals: string[] } {
  return readArguments({ args: [...args], options, strict: true, allowPositionals: true });
}

/** Node's own, with all its types. Throws a UsageError. */
export function readArguments<const T extends ParseArgsConfig>(
  config: T,
): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    const { code = '', message } = error as { code?: string; message: string };
    if (!code.startsWith('ERR_PARSE_ARGS')) throw error;
    const [first = message] = message.split(/\. |\n/);
    const words = first.replace(/\.$/, '').replace(/^./, (letter) => letter.toLowerCase());
    throw new UsageError(`${words}${meant(words, config)}`);
  }
}

function meant(words: string, { args = [], options = {} }: ParseArgsConfig): string {
  const [, dashes, name = ''] = /^unknown option '(--?)([^']+)'/.exec(words) ?? [];
  if (dashes === undefined) return '';
  // Node takes "-kernel" for "-k"; other programs do not.
  const whole = args.find((arg) => arg.startsWith(`-${name}`) && arg.length > 2);
  const given = dashes === '--' ? name : (whole?.slice(1) ?? '');
  return didYouMean(
    `--${given}`,
    Object.keys(options).map((option) => `--${option}`),
  );
}

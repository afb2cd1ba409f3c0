// What of a configuration nobody needs to see: the values of keys that sound secret, whatever somebody has
// written into the file, over however many lines. Pure.
import { statementsOf } from './toml-scan.ts';

const SECRET = /(?:password|passphrase|secret|token)(?!.*-file$)/i;
const STARS = '"********"';
/** In comments, and in lines that are no TOML. */
const SECRET_LINE =
  /^([ +-]?[\s#]*(?:[\w-]+\s*\.\s*)*(?![\w-]*-file\b)[\w-]*(?:password|passphrase|secret|token)[\w-]*\s*=).*$/gim;

export function masked(text: string): string {
  return replaceSecrets(text, () => STARS);
}

/** Two texts to be compared: that a secret is another one is seen, not which. */
export function maskedPair(before: string, after: string): [string, string] {
  const old = secretsOf(before);
  const now = replaceSecrets(after, (path, value) =>
    old.has(path) && old.get(path) !== value ? '"******** (another one)"' : STARS,
  );
  return [masked(before), now];
}

function secretsOf(text: string): Map<string, string> {
  const found = new Map<string, string>();
  replaceSecrets(text, (path, value) => {
    found.set(path, value);
    return value;
  });
  return found;
}

function replaceSecrets(text: string, by: (path: string, value: string) => string): string {
  let out = '';
  let at = 0;
  for (const { kind, path, from, to, valueFrom, valueTo } of statementsOf(text)) {
    if (kind === 'other') {
      out += text.slice(at, to).replace(SECRET_LINE, `$1 ${STARS}`);
      at = to;
    } else if (kind === 'key' && SECRET.test(path.slice(path.lastIndexOf('.') + 1))) {
      out += text.slice(at, valueFrom) + by(path, text.slice(valueFrom, valueTo));
      at = Math.max(valueTo, from);
    }
  }
  return out + text.slice(at);
}

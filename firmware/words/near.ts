// The word that somebody meant who typed another one: a command, an option, a key, a code. Offered by everything
// that reads words from people, and only where a slip of the fingers explains the difference. Pure.

/** Undefined: none is near. The first of `known` where two are equally near. */
export function nearest(given: string, known: readonly string[]): string | undefined {
  const meant = plainly(given);
  let found: string | undefined;
  let least = slipsMax(meant.length);
  for (const word of known) {
    const slips = slipsBetween(meant, plainly(word), least);
    if (slips > least || (found !== undefined && slips === least)) continue;
    found = word;
    least = slips;
  }
  return found ?? only(known.filter((word) => hasPart(plainly(word), meant)));
}

/** `; did you mean "switch-over"?`, or nothing where no word is near. */
export function didYouMean(given: string, known: readonly string[]): string {
  const word = nearest(given, known);
  return word === undefined ? '' : `; did you mean "${word}"?`;
}

/** Of two letters nothing is left when both are wrong. */
function slipsMax(length: number): number {
  if (length < 4) return Math.min(1, length - 1);
  return length < 9 ? 2 : 3;
}

function plainly(word: string): string {
  return word.toLowerCase().replaceAll('_', '-');
}

/** "failover" of "test-failover", "memory-mib" of "guest.memory-mib". */
function hasPart(word: string, part: string): boolean {
  return part.length > 2 && `-${word.replaceAll('.', '-')}-`.includes(`-${part}-`);
}

function only(words: readonly string[]): string | undefined {
  return words.length === 1 ? words[0] : undefined;
}

/**
 * How many letters were left out, put in, replaced or exchanged with their neighbour (optimal string alignment);
 * more than `most` may be answered by any larger number.
 */
function slipsBetween(one: string, other: string, most: number): number {
  if (Math.abs(one.length - other.length) > most) return most + 1;
  let before: number[] = [];
  let row = Array.from({ length: other.length + 1 }, (_, n) => n);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      const isSame = one[i - 1] === other[j - 1];
      let slips = Math.min(row[j - 1]! + (isSame ? 0 : 1), row[j]! + 1, next[j - 1]! + 1);
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1])
        slips = Math.min(slips, before[j - 2]! + 1);
      next.push(slips);
    }
    before = row;
    row = next;
  }
  return row[other.length]!;
}

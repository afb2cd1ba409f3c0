// Two texts as a unified diff. Pure.

const CONTEXT = 3;
/** Longer texts are compared as a whole: nobody reads such a diff on a serial line. */
const CELLS_MAX = 4_000_000;

interface Line {
  readonly sign: ' ' | '-' | '+';
  readonly text: string;
}

/** Lines of `@@`, ` `, `-` and `+`; empty when both are equal. */
export function unifiedDiff(before: string, after: string): string[] {
  if (before === after) return [];
  const lines = align(linesOf(before), linesOf(after));
  const near = lines.map((_, n) =>
    lines.slice(Math.max(0, n - CONTEXT), n + CONTEXT + 1).some(({ sign }) => sign !== ' '),
  );
  const out: string[] = [];
  let [old, now] = [1, 1];
  lines.forEach(({ sign, text }, n) => {
    if (near[n] === true) {
      if (n === 0 || near[n - 1] !== true) out.push(hunkHead(lines, near, n, old, now));
      out.push(sign + text);
    }
    if (sign !== '+') old += 1;
    if (sign !== '-') now += 1;
  });
  return out;
}

function hunkHead(
  lines: readonly Line[],
  near: readonly boolean[],
  from: number,
  old: number,
  now: number,
): string {
  const end = near.indexOf(false, from);
  const hunk = lines.slice(from, end < 0 ? undefined : end);
  const [minus, plus] = (['+', '-'] as const).map(
    (other) => hunk.filter(({ sign }) => sign !== other).length,
  );
  // As diff -u counts: an empty side begins at the line before.
  return `@@ -${minus === 0 ? old - 1 : old},${minus} +${plus === 0 ? now - 1 : now},${plus} @@`;
}

/** A file that does not end with a line end says so, as diff does. */
function linesOf(text: string): string[] {
  if (text === '') return [];
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  else lines[lines.length - 1] += ' (no line end)';
  return lines;
}

/** The longest common lines stay; what is left is taken out and put in. */
function align(before: readonly string[], after: readonly string[]): Line[] {
  const head = commonHead(before, after);
  const tail = commonHead(before.slice(head).reverse(), after.slice(head).reverse());
  const [one, other] = [before, after].map((lines) => lines.slice(head, lines.length - tail));
  const same = (lines: readonly string[]) => lines.map((text): Line => ({ sign: ' ', text }));
  return [
    ...same(before.slice(0, head)),
    ...changed(one!, other!),
    ...same(before.slice(before.length - tail)),
  ];
}

function commonHead(one: readonly string[], other: readonly string[]): number {
  const most = Math.min(one.length, other.length);
  for (let n = 0; n < most; n++) if (one[n] !== other[n]) return n;
  return most;
}

function changed(before: readonly string[], after: readonly string[]): Line[] {
  const [rows, columns] = [before.length + 1, after.length + 1];
  const out = before.map((text): Line => ({ sign: '-', text }));
  if (rows * columns > CELLS_MAX)
    return [...out, ...after.map((text): Line => ({ sign: '+', text }))];
  // common[i][j]: how many lines before[i..] and after[j..] have in common.
  const common = new Uint32Array(rows * columns);
  for (let i = rows - 2; i >= 0; i--) {
    for (let j = columns - 2; j >= 0; j--) {
      const at = i * columns + j;
      common[at] =
        before[i] === after[j]
          ? common[at + columns + 1]! + 1
          : Math.max(common[at + columns]!, common[at + 1]!);
    }
  }
  return walk(before, after, (i, j) => common[i * columns + j]!);
}

function walk(
  before: readonly string[],
  after: readonly string[],
  common: (i: number, j: number) => number,
): Line[] {
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    const isSame = i < before.length && j < after.length && before[i] === after[j];
    if (isSame) {
      lines.push({ sign: ' ', text: before[i]! });
      i += 1;
      j += 1;
    } else if (j >= after.length || (i < before.length && common(i + 1, j) >= common(i, j + 1)))
      lines.push({ sign: '-', text: before[i++]! });
    else lines.push({ sign: '+', text: after[j++]! });
  }
  return lines;
}

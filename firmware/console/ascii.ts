// Text for a VT100: printable ASCII and line ends, nothing that could move the cursor. What comes from
// the guest, the peer or a file may be anything. Pure.

const ALIKE: Readonly<Record<string, string>> = {
  '’': "'",
  '‘': "'",
  '“': '"',
  '”': '"',
  '–': '-',
  '—': '-',
  '…': '...',
  '→': '->',
  '≥': '>=',
  '≤': '<=',
  '\t': '  ',
};

export function ascii(text: string): string {
  return text.replace(/[^\n -~]/gu, (letter) => ALIKE[letter] ?? '?');
}

/** One line of at most `columns`. */
export function clip(text: string, columns: number): string {
  const line = ascii(text).replace(/\n/g, ' ');
  return line.length <= columns ? line : `${line.slice(0, columns - 3)}...`;
}

/** Words onto lines of at most `columns`, the second and later ones set in by `indent`. */
export function wrap(text: string, columns: number, indent = 0): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of ascii(text).split(/\s+/).filter(Boolean)) {
    const room = columns - (lines.length === 0 ? 0 : indent);
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines.map((each, n) => (n === 0 ? each : ' '.repeat(indent) + each));
}

/** Lines as they are, but none longer than `columns`: broken at a space where there is one. */
export function fold(text: string, columns: number): string {
  return ascii(text)
    .split('\n')
    .flatMap((line) => foldLine(line, columns))
    .join('\n');
}

const FOLDED_INDENT = '  ';

function foldLine(line: string, columns: number): string[] {
  const lines: string[] = [];
  let rest = line;
  while (rest.length > columns) {
    const space = rest.lastIndexOf(' ', columns);
    const at = space > columns / 2 ? space : columns;
    lines.push(rest.slice(0, at).trimEnd());
    rest = FOLDED_INDENT + rest.slice(at).trimStart();
  }
  return [...lines, rest];
}

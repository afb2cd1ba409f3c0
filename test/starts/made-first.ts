// Finds in a source what a constructor, or a field beside it, starts that could call back: timers, threads,
// processes, sockets, listeners. Reads the text as the formatter leaves it: members are indented by two,
// their bodies end at that indent.

export interface Starter {
  /** Of the class. */
  readonly name: string;
  readonly line: string;
}

const STARTS =
  /\b(setTimeout|setInterval|setImmediate|queueMicrotask|nextTick|spawn|fork|createSocket|createConnection|connect)\(|\bnew (Worker|Socket|SerialPort)\(|\.(start|listen|bind|on|once|addListener|open|resume|then|subscribe)\(/;
const CLASS = /^(?:export )?(?:abstract )?class (\w+)/;
const METHOD =
  /^ {2}(?!constructor\()(?:(?:static|async|private|protected|public|override|get|set) )*[\w#]+(?:<[^>]*>)?\(/;

export function startersIn(source: string): Starter[] {
  return Object.entries(classesOf(source)).flatMap(([name, lines]) =>
    withoutLater(beforeWhole(lines).join('\n'))
      .split('\n')
      .filter((line) => STARTS.test(line))
      .map((line) => ({ name, line: line.trim() })),
  );
}

function classesOf(source: string): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  let current: string[] | undefined;
  for (const line of source.split('\n')) {
    const name = CLASS.exec(line)?.[1];
    if (name !== undefined) {
      current = [];
      found[name] = current;
    } else if (line === '}') current = undefined;
    else current?.push(line);
  }
  return found;
}

/** Constructor and fields: what runs while the object is made. */
function beforeWhole(lines: readonly string[]): string[] {
  const kept: string[] = [];
  let inMethod = false;
  for (const line of lines) {
    if (!inMethod && METHOD.test(line)) {
      inMethod = !/\}$|;$/.test(line);
      continue;
    }
    if (!inMethod) kept.push(line);
    else if (/^ {2}\}/.test(line) && !line.endsWith('{')) inMethod = false;
  }
  return kept;
}

/** Without comments, strings, and the bodies of functions that are called later. */
function withoutLater(text: string): string {
  const plain = text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|[^:])\/\/.*$/gm, '$1')
    .replace(/'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g, "''");
  let left = '';
  for (let at = 0; at < plain.length; ) {
    if (!plain.startsWith('=>', at)) left += plain[at++];
    else at = endOfBody(plain, at + 2);
  }
  return left;
}

function endOfBody(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const char = text[at] as string;
    if ('([{'.includes(char)) depth++;
    else if (')]}'.includes(char)) {
      // The bracket around the whole function.
      if (depth === 0) return at;
      depth--;
      // A block of its own ends the function.
      if (depth === 0 && char === '}' && text.slice(from).trimStart().startsWith('{'))
        return at + 1;
    } else if (depth === 0 && (char === ',' || char === ';')) return at;
  }
  return text.length;
}

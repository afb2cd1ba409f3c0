// Bytes of a stream into lines. A line that is too long is given up once, up to its end.

export type LineRead = { readonly ok: true; readonly text: string } | { readonly ok: false };

export class LineReader {
  private readonly maxBytes: number;
  private parts: Uint8Array[] = [];
  private bytes = 0;
  private isSkipping = false;
  /** Lines given up. */
  oversize = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  push(chunk: Uint8Array): LineRead[] {
    const lines: LineRead[] = [];
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      this.keep(chunk.subarray(from, end), lines);
      if (!this.isSkipping) lines.push({ ok: true, text: this.takeText() });
      this.isSkipping = false;
      from = end + 1;
    }
    this.keep(chunk.subarray(from), lines);
    return lines;
  }

  private keep(part: Uint8Array, lines: LineRead[]): void {
    if (this.isSkipping || part.length === 0) return;
    if (this.bytes + part.length > this.maxBytes) {
      this.oversize += 1;
      this.isSkipping = true;
      this.takeText();
      lines.push({ ok: false });
      return;
    }
    this.parts.push(part.slice());
    this.bytes += part.length;
  }

  private takeText(): string {
    const text = Buffer.concat(this.parts).toString('utf8');
    this.parts = [];
    this.bytes = 0;
    return text;
  }
}

const NEWLINE = 0x0a;

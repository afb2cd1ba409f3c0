// What a guest says, as a text that grows, and waiting for something in it. A wait that fails shows
// the end of what was said instead.

const SHOWN_CHARACTERS = 600;

export class Transcript {
  text = '';
  private at = 0;
  private ended: string | undefined;
  private wake: () => void = () => {};

  add(text: string): void {
    this.text += text;
    this.wake();
  }

  /** Nothing comes any more, and why. */
  end(why: string): void {
    this.ended ??= why;
    this.wake();
  }

  /** The first match behind the last one waited for; `input` is what came between and the match. */
  async waitFor(pattern: RegExp, timeoutMs = 60_000): Promise<RegExpExecArray> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.wake();
    }, timeoutMs);
    try {
      for (;;) {
        const found = pattern.exec(this.text.slice(this.at));
        if (found !== null) {
          const end = found.index + found[0].length;
          found.input = found.input.slice(0, end);
          this.at += end;
          return found;
        }
        if (this.ended !== undefined) throw this.missing(pattern, this.ended);
        if (isLate) throw this.missing(pattern, `${timeoutMs} ms passed`);
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  private missing(pattern: RegExp, why: string): Error {
    const end = this.text.slice(this.at).slice(-SHOWN_CHARACTERS);
    return new Error(`${pattern} never came: ${why}. Since the last match:\n${end}`);
  }
}

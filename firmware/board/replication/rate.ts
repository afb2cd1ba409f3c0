// Bytes a second over the last two, from a counter that is sampled now and then. Pure.

const SPAN_MS = 2_000;

export class RateMeter {
  private samples: { readonly bytes: number; readonly atMs: number }[] = [];

  sample(bytes: number, atMs: number): void {
    this.samples.push({ bytes, atMs });
    while (this.samples.length > 2 && atMs - this.samples[1]!.atMs > SPAN_MS) this.samples.shift();
  }

  get kbps(): number {
    const [first, last] = [this.samples[0], this.samples.at(-1)];
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return 0;
    return (8 * (last.bytes - first.bytes)) / (last.atMs - first.atMs);
  }
}

// Side-by-side measurement: A and B take turns (A B, B A, A B, ...) so that a slow minute of the
// machine hits both, and what is reported is the ratio of medians with the spread of each.

export interface Contestant {
  name: string;
  /** One round; returns the measured figure in the bench's unit. */
  run(): number | Promise<number>;
}

export interface Comparison {
  name: string;
  /** Of the figure: 'ms', 'instr/s', 'kbit/s'. */
  unit: string;
  /** Which way is good; says how the ratio is to be read. */
  better: 'lower' | 'higher';
  rounds: number;
  ours: Contestant;
  peer: Contestant;
}

export interface Series {
  name: string;
  values: number[];
  median: number;
  /** Interquartile range over the median: 0.02 is quiet, 0.2 is a noisy machine. */
  spread: number;
}

export interface Result {
  name: string;
  unit: string;
  better: 'lower' | 'higher';
  ours: Series;
  peer: Series;
  /** Median of ours over median of the peer. */
  ratio: number;
}

export async function compare(comparison: Comparison): Promise<Result> {
  const { name, unit, better, rounds, ours, peer } = comparison;
  const values = { ours: [] as number[], peer: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? (['ours', 'peer'] as const) : (['peer', 'ours'] as const);
    for (const who of order) values[who].push(await comparison[who].run());
  }
  const left = series(ours.name, values.ours);
  const right = series(peer.name, values.peer);
  return { name, unit, better, ours: left, peer: right, ratio: left.median / right.median };
}

/** A figure that has no peer here, measured the same way. */
export async function measure(contestant: Contestant, rounds: number): Promise<Series> {
  const values: number[] = [];
  for (let round = 0; round < rounds; round++) values.push(await contestant.run());
  return series(contestant.name, values);
}

export function series(name: string, values: number[]): Series {
  const median = quantile(values, 0.5);
  const range = quantile(values, 0.75) - quantile(values, 0.25);
  return { name, values, median, spread: median === 0 ? 0 : range / median };
}

/** Linear interpolation between order statistics (Hyndman and Fan, type 7). */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) throw new Error('quantile of nothing');
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = sorted[Math.floor(at)] as number;
  const high = sorted[Math.ceil(at)] as number;
  return low + (high - low) * (at - Math.floor(at));
}

export function describe(result: Result): string {
  const figure = (of: Series) =>
    `${of.name} ${format(of.median)} ${result.unit} (spread ${(of.spread * 100).toFixed(0)} %)`;
  const good = result.better === 'lower' ? 'lower is better' : 'higher is better';
  return [
    result.name,
    `  ${figure(result.ours)}`,
    `  ${figure(result.peer)}`,
    `  ratio ${result.ratio.toFixed(3)} (${good})`,
  ].join('\n');
}

export function format(value: number): string {
  if (value === 0) return '0';
  const digits = Math.max(0, 3 - Math.floor(Math.log10(Math.abs(value))) - 1);
  return value.toLocaleString('en', { maximumFractionDigits: Math.min(6, digits) });
}

/** One figure that has been measured, against one that is given. */
export function valueAgainst(name: string, value: number) {
  return { better: 'lower', rounds: 1, peer: { name, run: () => value } } as const;
}

// Why bytes from the link are dropped. One counter a reason; the sentence is what a technician sees.

export const DROP_REASONS = {
  short: 'ends before its header, or before the length it claims',
  magic: 'is not ours: something else uses the same EtherType',
  version: 'speaks another version of the format',
  kind: 'is of a kind this version does not know',
  cluster: 'calls a board of another cluster',
  key: 'calls with another pairing key, or was altered',
  reflected: 'is our own, sent back',
  echo: 'answers a call we did not make: old, replayed, or meant for another board',
  flood: 'calls more often than calls are answered',
  hello: 'is a call with impossible contents',
  session: 'belongs to another session',
  stale: 'is older than the replay window',
  replayed: 'was received before',
  forged: 'failed authentication: altered, truncated, reflected or sealed with another key',
  section: 'holds a section of unknown kind',
  cut: 'holds a section longer than itself',
  twice: 'holds the same section twice',
  range: 'holds a number outside its range',
  credit: 'holds data beyond the credit given',
  scattered: 'holds data behind more gaps than are remembered',
  duplicate: 'holds only data received before (its acknowledgement was lost)',
} as const;

export type DropReason = keyof typeof DROP_REASONS;
export type DropCounters = Record<DropReason, number>;

export function dropCounters(): DropCounters {
  const counters = {} as DropCounters;
  for (const reason of Object.keys(DROP_REASONS) as DropReason[]) counters[reason] = 0;
  return counters;
}

// Never two boards talking: held against a capture of everything that came from the guest's address on
// the plant LAN, by the port it came in at. A board may speak from the moment it announced its
// reign until another announced a later one; nothing in between.
import type { BoardEvent } from '../../firmware/board/events.ts';
import type { Captured } from './capture.ts';
import { earshot, SIDES, type Side } from './network.ts';

export interface Reign {
  readonly side: Side;
  readonly fromUs: number;
}

export interface Talking {
  readonly frames: number;
  /** How often another board began to talk. */
  readonly changes: number;
  readonly faults: readonly string[];
}

const BEGINS: ReadonlySet<string> = new Set(['ROLE-PROMOTING']);
/** An event's wall time is cut to whole milliseconds. */
const ROUNDED_US = 1000;

/** The reigns of both boards, from what they told, in order. */
export function reigns(events: Readonly<Record<Side, readonly BoardEvent[]>>): Reign[] {
  return SIDES.flatMap((side) =>
    events[side]
      .filter(({ code }) => BEGINS.has(code))
      .map(({ wallMs }) => ({ side, fromUs: wallMs * 1000 })),
  ).sort((a, b) => a.fromUs - b.fromUs);
}

export function talking(frames: readonly Captured[], announced: readonly Reign[]): Talking {
  const sideOf = new Map(SIDES.map((side) => [earshot('front', side), side]));
  const faults: string[] = [];
  let [count, changes, at] = [0, 0, -1];
  let last: Side | undefined;
  for (const { port: name, timeUs, frame } of frames) {
    const side = sideOf.get(name);
    if (side === undefined) continue;
    count++;
    while ((announced[at + 1]?.fromUs ?? Number.POSITIVE_INFINITY) <= timeUs) at++;
    if (side !== last) changes += last === undefined ? 0 : 1;
    last = side;
    const [now, next] = [announced[at], announced[at + 1]];
    const isJustBegun = next?.side === side && next.fromUs <= timeUs + ROUNDED_US;
    if (now?.side === side || isJustBegun) continue;
    const lateMs = now === undefined ? 0 : (timeUs - now.fromUs) / 1000;
    const kind = frame.readUInt16BE(12).toString(16);
    faults.push(
      `board ${side} spoke (type ${kind}) ${lateMs.toFixed(1)} ms into the reign of board ${now?.side}`,
    );
  }
  return { frames: count, changes, faults };
}

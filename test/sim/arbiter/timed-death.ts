// A board that loses piece after piece, in simulated milliseconds: power lost, a rack it is pulled out of, a kernel
// that falls over, or a hand that pulls plug after plug. All of it is one fault.
import type { SeededRandom } from '../../harness/index.ts';
import { NAME, other, type Side } from './world-types.ts';

/** `death`: within half a second. `hand`: within two, cables first, the power last. */
export type DeathKind = 'death' | 'hand';

const WINDOW_MS: Readonly<Record<DeathKind, number>> = { death: 500, hand: 2_000 };

/** What of the pair a death takes away. */
export interface Dying {
  cut(name: string): void;
  /** Both boards see that the log cable has no carrier any more. */
  carrierLost(): void;
  frontOut(side: Side): void;
  freeze(side: Side, forMs: number): void;
  end(side: Side): void;
  inMs(delayMs: number, run: () => void): void;
}

/** Each piece at a moment of its own, or never; then the end. Answers when that is, in milliseconds from now. */
export function dieInPieces(
  dying: Dying,
  side: Side,
  kind: DeathKind,
  random: SeededRandom,
): number {
  const windowMs = random.int(WINDOW_MS[kind] + 1);
  const here = NAME[side];
  const there = NAME[other(side)];
  const pieces = [
    () => {
      for (const board of [here, there]) dying.cut(`log>${board}`);
      dying.carrierLost();
    },
    () => {
      for (const board of [here, there]) dying.cut(`serial>${board}`);
    },
    () => {
      dying.cut(`front-${here}`);
      if (random.chance(0.5)) dying.frontOut(side);
    },
  ];
  if (kind === 'death') {
    pieces.push(() => dying.freeze(side, Number.POSITIVE_INFINITY));
    // The processor slows down first.
    pieces.push(() => dying.freeze(side, 1 + random.int(100)));
  }
  for (const lose of pieces) if (random.chance(0.7)) dying.inMs(random.float() * windowMs, lose);
  dying.inMs(windowMs, () => dying.end(side));
  return windowMs;
}

// Where the brain gets its hands.
import type { BoardConfig } from './config/types.ts';
import type { Hands, HandsEvents } from './hands/types.ts';

export function makeHands(
  _config: BoardConfig,
  _pairingKey: Uint8Array,
  _events: HandsEvents,
): Hands {
  throw new Error('no hands yet');
}

// The hands of this board on this host: guest and log link as the configuration names them.
import { Channel } from '../../logchan/channel.ts';
import { RingPort } from '../../logchan/ring-port.ts';
import { watchdog as native } from '../../native/index.ts';
import type { About } from './about.ts';
import type { BoardConfig } from './config/types.ts';
import { BoardHands } from './hands/hands.ts';
import type { Hands, HandsEvents } from './hands/types.ts';

/** Which pair a call on the link is for; the pairing key keeps pairs apart, this is a name for it. */
const CLUSTER = 'twinstep';

export function makeHands(
  { guest, log }: BoardConfig,
  pairingKey: Uint8Array,
  about: About,
  events: HandsEvents,
): Hands {
  return new BoardHands({
    plan: guest,
    about,
    events,
    nowMs: () => native.bootClockMs(),
    makeChannel: (handler) =>
      new Channel({
        pairingKey,
        cluster: CLUSTER,
        port: new RingPort({ interface: log.interface, mayBeAbsent: true }),
        handler,
      }),
  });
}

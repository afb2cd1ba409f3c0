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

/** Opens disks and world; throws an error for people. Then the hands can be made, once. */
export async function prepareHands(
  { guest, log }: BoardConfig,
  pairingKey: Uint8Array,
  about?: About,
): Promise<(events: HandsEvents) => Hands> {
  return await BoardHands.prepare({
    plan: guest,
    ...(about === undefined ? {} : { about }),
    nowMs: () => native.bootClockMs(),
    makeChannel: (handler) =>
      new Channel({
        pairingKey,
        cluster: CLUSTER,
        port: new RingPort({ interface: log.interface }),
        handler,
      }),
  });
}

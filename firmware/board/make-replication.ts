// Replication of this board on this host: guest and log link as the configuration names them.
import { Channel } from '../../logchan/channel.ts';
import { RingPort } from '../../logchan/ring-port.ts';
import { watchdog as native } from '../../native/index.ts';
import type { About } from './about.ts';
import type { BoardConfig } from './config/types.ts';
import { GuestReplication } from './replication/replication.ts';
import type { Replication, ReplicationEvents } from './replication/types.ts';

/** Which pair a call on the link is for; the pairing key keeps pairs apart, this is a name for it. */
const CLUSTER = 'twinstep';

export function makeReplication(
  { guest, log }: BoardConfig,
  pairingKey: Uint8Array,
  about: About,
  events: ReplicationEvents,
): Replication {
  return new GuestReplication({
    plan: guest,
    about,
    events,
    nowMs: () => native.bootClockMs(),
    makeChannel: (handler) =>
      new Channel({
        pairingKey,
        cluster: CLUSTER,
        paths: [{ port: new RingPort({ interface: log.interface, mayBeAbsent: true }) }],
        handler,
      }),
  });
}

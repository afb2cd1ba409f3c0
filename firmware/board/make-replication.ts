// Replication of this board on this host: guest and log link as the configuration names them.
import { createHash } from 'node:crypto';
import { Channel, type ChannelPath } from '../../logchan/channel.ts';
import { RingPort } from '../../logchan/ring-port.ts';
import { UdpPort } from '../../logchan/udp-port.ts';
import { watchdog as native } from '../../native/index.ts';
import type { About } from './about.ts';
import type { BoardConfig } from './config/types.ts';
import { GuestReplication } from './replication/replication.ts';
import type { Replication, ReplicationEvents } from './replication/types.ts';

/** Which pair a call on the link is for; the pairing key keeps pairs apart, this is a name for it. */
const CLUSTER = 'twinstep';

export function makeReplication(
  config: BoardConfig,
  pairingKey: Uint8Array,
  about: About,
  events: ReplicationEvents,
): Replication {
  return new GuestReplication({
    plan: config.guest,
    about,
    events,
    nowMs: () => native.bootClockMs(),
    rateMibS: config.sync.rateMibS,
    checkMibS: config.sync.checkMibS,
    changes: { folder: config.stateDir, pair: pairName(pairingKey) },
    makeChannel: (handler) =>
      new Channel({
        pairingKey,
        cluster: CLUSTER,
        paths: logWays(config),
        tickedEveryMs: config.limits.tickMs,
        handler,
      }),
  });
}

const BYTES_PER_MBIT = 1e6 / 8;

/** The cards, the better first; the front LAN is the last resort. Any of them may be missing. */
function logWays({ log, front }: BoardConfig): ChannelPath[] {
  const cards = log.interfaces.map((name) => ({
    port: new RingPort({ interface: name, mayBeAbsent: true }),
  }));
  if (log.overFront === null) return cards;
  const port = new UdpPort({
    interface: front.interface,
    address: front.bind,
    peer: front.peer,
    // Beside the statements on this LAN, which must not wait behind a sync-up in one socket.
    port: front.port + 1,
  });
  const rateBytesPerSecond = log.overFront.rateMbit * BYTES_PER_MBIT;
  return [...cards, { port, name: 'the front LAN', rateBytesPerSecond }];
}

/** Tells this pair from others without telling its key. */
function pairName(pairingKey: Uint8Array): string {
  return createHash('sha256').update('disk changes').update(pairingKey).digest('hex');
}

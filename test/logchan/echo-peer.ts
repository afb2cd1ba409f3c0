// A port that sends back every frame it gets, for the conformance suite.
import { IpPort } from '../../logchan/ip-port.ts';
import type { Port } from '../../logchan/port.ts';
import { RingPort } from '../../logchan/ring-port.ts';
import { becomePeer, say } from './namespace.ts';

/** Sends back what arrives, from inside the callbacks, as the channel does. */
export function echo(port: Port): void {
  port.start({
    frame: (bytes, start, end) => {
      const slot = port.slot();
      if (slot === undefined || end - start > slot.length) return;
      slot.set(bytes.subarray(start, end));
      port.queue(end - start);
    },
    batchEnd: () => port.flush(),
    writable: () => {},
    link: () => {},
  });
}

if (process.send !== undefined) {
  const { interfaceName, args } = await becomePeer();
  const { kind, peer } = args as { kind: 'ring' | 'ip'; peer: string };
  const port =
    kind === 'ring'
      ? new RingPort({ interface: interfaceName })
      : new IpPort({ peer, interface: interfaceName });
  echo(port);
  say({ type: 'ready' });
}

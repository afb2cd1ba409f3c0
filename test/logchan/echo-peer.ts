// A port that sends back every frame it gets, for the conformance suite.
import { IpPort } from '../../logchan/ip-port.ts';
import type { Port } from '../../logchan/port.ts';
import { RingPort } from '../../logchan/ring-port.ts';
import { UdpPort } from '../../logchan/udp-port.ts';
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

interface EchoArgs {
  kind: 'ring' | 'ip' | 'udp';
  peer: string;
  address: string;
}

/** Of the tests; any will do, between namespaces of their own. */
export const UDP_PORT = 47_700;

function makePort(kind: EchoArgs['kind'], name: string, peer: string, address: string): Port {
  if (kind === 'ring') return new RingPort({ interface: name });
  if (kind === 'ip') return new IpPort({ peer, interface: name });
  return new UdpPort({ interface: name, address, peer, port: UDP_PORT });
}

if (process.send !== undefined) {
  const { interfaceName, args } = await becomePeer();
  const { kind, peer, address } = args as EchoArgs;
  echo(makePort(kind, interfaceName, peer, address));
  say({ type: 'ready' });
}

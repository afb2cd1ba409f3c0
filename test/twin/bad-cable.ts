// A bad cable: while there is one, a relay (wires/relay.c) carries its frames instead of the kernel, one way
// only, or with losses, repeats and other order. No carrier changes when it comes or goes.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { ip, tc } from '../harness/netns.ts';
import { startWire } from './wire.ts';

/** `out`: what the board says is lost; `in`: what it should hear. */
export interface Trouble {
  readonly lost?: 'out' | 'in';
  readonly lossPpm?: number;
  readonly repeatPpm?: number;
  readonly reorderPpm?: number;
  readonly seed?: number;
}

export class BadCable {
  private readonly relay: ChildProcess;
  private readonly restore: () => void;

  private constructor(relay: ChildProcess, restore: () => void) {
    this.relay = relay;
    this.restore = restore;
  }

  /** Between our end of a cable and the bridge it hangs on. */
  static async atBridge(end: string, bridge: string, trouble: Trouble): Promise<BadCable> {
    const [inner, outer] = veths(`${end}-x`, `${end}-y`);
    ip('link', 'set', outer, 'master', bridge);
    // From here on the bridge carries nothing of this cable any more.
    ip('link', 'set', end, 'nomaster');
    return new BadCable(await relay(end, inner, trouble), () => {
      ip('link', 'delete', inner);
      ip('link', 'set', end, 'promisc', 'off', 'master', bridge);
    });
  }

  /**
   * In a veth pair, between the card on `left`, whose trouble it is, and that on `right`. What a card sends is
   * diverted before it is in the pair, to where the relay hears it; what the relay says goes into the
   * pair where that card's own frames would.
   */
  static async inPair(left: string, right: string, trouble: Trouble): Promise<BadCable> {
    const [fromLeft, fromRight] = veths(`${left}-x`, `${right}-x`);
    const carrier = await relay(`${fromLeft}/${right}`, `${fromRight}/${left}`, trouble);
    // A frame that enters at one end of a pair comes out at the other.
    divert(left, fromRight);
    divert(right, fromLeft);
    return new BadCable(carrier, () => {
      for (const end of [left, right]) tc('qdisc', 'delete', 'dev', end, 'clsact');
      ip('link', 'delete', fromLeft);
    });
  }

  async mend(): Promise<void> {
    this.restore();
    const gone = once(this.relay, 'exit');
    this.close();
    await gone;
  }

  /** With its network. */
  close(): void {
    this.relay.kill('SIGKILL');
  }
}

/** As long as any frame. */
const MTU = '9000';

function veths(one: string, two: string): [string, string] {
  ip('link', 'add', one, 'mtu', MTU, 'type', 'veth', 'peer', 'name', two, 'mtu', MTU);
  for (const name of [one, two]) ip('link', 'set', name, 'addrgenmode', 'none', 'up');
  return [one, two];
}

function divert(from: string, to: string): void {
  tc('qdisc', 'add', 'dev', from, 'clsact');
  const all = ['protocol', 'all', 'u32', 'match', 'u32', '0', '0'];
  const elsewhere = ['action', 'mirred', 'egress', 'redirect', 'dev', to];
  tc('filter', 'add', 'dev', from, 'egress', ...all, ...elsewhere);
}

/** Returns when it carries. */
async function relay(left: string, right: string, trouble: Trouble): Promise<ChildProcess> {
  const { lost, lossPpm = 0, repeatPpm = 0, reorderPpm = 0, seed = 1 } = trouble;
  const ways = { out: 'left', in: 'right' } as const;
  const way = lost === undefined ? 'both' : ways[lost];
  const rates = [lossPpm, repeatPpm, reorderPpm].map(String);
  return (await startWire('relay', [left, right, String(seed), way, ...rates])).process;
}

// Has the front cable a carrier? The plant LAN of a board is often a bridge, which has one as long as the TAP
// of the guest is up: then its other ports tell. Asked only when the LAN has been quiet for a moment, as each look reads a few
// small files. What cannot be read is no evidence.
import { existsSync, readdirSync, readFileSync } from 'node:fs';

const SYS_NET = '/sys/class/net';

export class FrontCable {
  private readonly interfaceName: string;
  private readonly root: string;

  constructor(interfaceName: string, root = SYS_NET) {
    this.interfaceName = interfaceName;
    this.root = root;
  }

  /** Certain: each card on the LAN is there, and has no carrier. */
  isOut(): boolean {
    const cards = this.cards();
    return cards.length > 0 && cards.every((name) => this.isWithout(name));
  }

  private cards(): string[] {
    const ports = `${this.root}/${this.interfaceName}/brif`;
    try {
      // A guest hangs on the bridge by a TAP, which is no cable.
      return readdirSync(ports).filter((name) => !existsSync(`${this.root}/${name}/tun_flags`));
    } catch {
      return [this.interfaceName];
    }
  }

  private isWithout(name: string): boolean {
    try {
      return readFileSync(`${this.root}/${name}/carrier`, 'latin1').trim() === '0';
    } catch (error) {
      // A card that is switched off does not answer; of one that is not there nobody knows.
      return (error as NodeJS.ErrnoException).code === 'EINVAL';
    }
  }
}

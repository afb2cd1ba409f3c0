// The witness: asks the gateway by ARP whether it is there. ARP is answered below any firewall and
// needs no address of our own. One look and at most one question a call; the owner calls every probe period.
//
// Asked a hundred times a second, the question goes to the station that answered last (RFC 1122, 2.3.2.1):
// a broadcast would wake every host of the plant, our own guest among them. Only while nobody answers
// all are asked, soon only now and then.
import { closeSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { watchdog } from '../native/index.ts';

export interface ArpCalls {
  arpOpen(interfaceName: string): number;
  arpAsk(fd: number, target: Buffer, station: Buffer): number;
  arpAnswers(fd: number, target: Buffer, station: Buffer): number;
}

const EVERYBODY = Buffer.alloc(6, 0xff);
/** Lost questions until it may have moved to another station, as a redundant gateway does. */
const LOST_MAX = 3;
/** Questions to everybody, one after the other, before they get rare; and how rare. */
const BROADCASTS = 10;
const RARELY = 10;

export class GatewayProbe {
  asked = 0;
  answered = 0;
  /** The last refusal of the kernel, in words: interface down, no rights. */
  trouble: string | null = null;
  private readonly interfaceName: string;
  private readonly target: Buffer;
  /** Of whoever answered last. */
  private readonly station = Buffer.from(EVERYBODY);
  private unanswered = LOST_MAX;
  private readonly calls: ArpCalls;
  private fd: number | null = null;

  constructor(options: { interfaceName: string; gateway: string; calls?: ArpCalls }) {
    if (!isIPv4(options.gateway)) throw new Error(`not an IPv4 address: ${options.gateway}`);
    this.interfaceName = options.interfaceName;
    this.target = Buffer.from(options.gateway.split('.').map(Number));
    this.calls = options.calls ?? watchdog;
  }

  /** Asks anew; true if the gateway has spoken since the last call. */
  probe(): boolean {
    try {
      this.fd ??= this.calls.arpOpen(this.interfaceName);
      const heard = this.calls.arpAnswers(this.fd, this.target, this.station) > 0;
      this.unanswered = heard ? 0 : this.unanswered + 1;
      this.ask(this.fd);
      if (heard) this.answered += 1;
      this.trouble = null;
      return heard;
    } catch (error) {
      // The interface may go and come back with another index: open anew next time.
      this.trouble = (error as Error).message;
      this.stop();
      return false;
    }
  }

  private ask(fd: number): void {
    const lost = this.unanswered - LOST_MAX;
    if (lost > BROADCASTS && lost % RARELY !== 0) return;
    this.calls.arpAsk(fd, this.target, lost < 0 ? this.station : EVERYBODY);
    this.asked += 1;
  }

  stop(): void {
    if (this.fd !== null) closeSync(this.fd);
    this.fd = null;
  }
}

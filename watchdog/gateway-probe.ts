// The witness: asks the gateway by ARP whether it is there. ARP is answered below any firewall and
// needs no address of our own. One question and one look a call; the owner calls every probe period.
import { closeSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { watchdog } from '../native/index.ts';

export interface ArpCalls {
  arpOpen(interfaceName: string): number;
  arpAsk(fd: number, interfaceName: string, target: Buffer): number;
  arpAnswers(fd: number, target: Buffer): number;
}

export class GatewayProbe {
  asked = 0;
  answered = 0;
  /** The last refusal of the kernel, in words: interface down, no rights. */
  trouble: string | null = null;
  private readonly interfaceName: string;
  private readonly target: Buffer;
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
      const heard = this.calls.arpAnswers(this.fd, this.target) > 0;
      this.calls.arpAsk(this.fd, this.interfaceName, this.target);
      this.asked += 1;
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

  stop(): void {
    if (this.fd !== null) closeSync(this.fd);
    this.fd = null;
  }
}

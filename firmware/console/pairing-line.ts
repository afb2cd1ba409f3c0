// Pairing over the serial line between the boards (watchdog/pairing.ts), with a clock and a port: says its
// message every half second, and gives up in words when the line goes silent in the middle. Writes nothing
// anywhere; the key is handed over once, when both sides have it.
import { randomBytes } from 'node:crypto';
import {
  beginPairing,
  type PairingState,
  pairingMessage,
  stepPairing,
} from '../../watchdog/pairing.ts';
import type { Side } from '../../watchdog/path-frame.ts';
import { SerialPath } from '../../watchdog/serial-path.ts';
import { SerialPortLine } from '../../watchdog/serial-port.ts';

export type Met =
  | { readonly ok: true; readonly code: string }
  | { readonly ok: false; readonly why: string };
export type Paired =
  | { readonly ok: true; readonly side: Side; readonly key: Uint8Array }
  | { readonly ok: false; readonly why: string };

const REPEAT_MS = 500;
const REOPEN_MS = 500;
/** A board that is there is heard twice a second. */
const SILENT_MS = 6_000;
/** The other side may still need the last word. */
const LINGER_MS = 10_000;
const BAUD = 115_200;

export class PairingLine {
  private readonly line: SerialPortLine;
  private readonly path: SerialPath;
  private timer: NodeJS.Timeout | undefined;
  private state: PairingState;
  private heardMs: number | null = null;
  private downWhy: string | null = null;
  private waiting: (() => void) | null = null;

  constructor(port: string, name: string) {
    const [privateKey, nonce] = [randomBytes(32), randomBytes(16)];
    this.state = beginPairing(new Uint8Array(privateKey), new Uint8Array(nonce), name);
    this.line = new SerialPortLine({ path: port, baudRate: BAUD, reopenMs: REOPEN_MS });
    this.path = new SerialPath({
      line: this.line,
      keys: null,
      heartbeatMs: REPEAT_MS,
      onStatement: () => {},
      onPairing: (body) => this.heard(body),
      onDown: (why) => this.down(why),
    });
    this.line.onUp = () => this.say();
  }

  start(): void {
    this.line.start();
    this.timer = setInterval(() => this.tick(), REPEAT_MS);
  }

  /** Until both consoles can show the code, however long the other technician takes. */
  async meet(): Promise<Met> {
    await this.until(() => this.state.code !== null);
    const { code } = this.state;
    return this.failure() ?? { ok: true, code: code! };
  }

  /** What the technician says of the two codes; then until the other one has said it too. */
  async decide(same: boolean): Promise<Paired> {
    this.step({ type: 'technician', same });
    this.say();
    await this.until(() => this.state.stage === 'done');
    const { side, key } = this.state;
    const failure = this.failure();
    if (failure !== null) {
      await this.stop();
      return failure;
    }
    // The other side may not have heard it yet.
    setTimeout(() => void this.stop(), LINGER_MS).unref();
    return { ok: true, side: side!, key: key! };
  }

  /** Says that it is over, if that is news. */
  async stop(): Promise<void> {
    if (this.state.stage !== 'done') {
      this.fail('it was stopped here');
      this.say();
    }
    clearInterval(this.timer);
    await this.line.stop();
  }

  private failure(): { readonly ok: false; readonly why: string } | null {
    const { stage, why } = this.state;
    return stage === 'failed' ? { ok: false, why } : null;
  }

  private heard(body: Uint8Array): void {
    this.heardMs = performance.now();
    const before = this.state.stage;
    this.step({ type: 'message', body });
    // What changed is news for the other side.
    if (this.state.stage !== before) this.say();
  }

  private down(why: string): void {
    this.downWhy = why;
    // Nobody has been met yet: most likely a wrong name of the port.
    if (this.heardMs === null && this.line.opened === 0)
      this.fail(`the port cannot be used: ${why}`);
  }

  private tick(): void {
    const silentMs = this.heardMs === null ? 0 : performance.now() - this.heardMs;
    const { stage } = this.state;
    if (silentMs > SILENT_MS && stage !== 'done' && stage !== 'failed') {
      const cause =
        this.downWhy === null ? 'the cable, or the other console has ended' : this.downWhy;
      this.fail(`the line went silent in the middle: ${cause}`);
    }
    this.say();
  }

  private say(): void {
    const message = pairingMessage(this.state);
    if (message !== null) this.path.sayPairing(message);
  }

  private fail(why: string): void {
    const { stage } = this.state;
    if (stage !== 'failed' && stage !== 'done')
      this.state = { ...this.state, stage: 'failed', why, key: null };
    this.wake();
  }

  private step(event: Parameters<typeof stepPairing>[1]): void {
    this.state = stepPairing(this.state, event);
    this.wake();
  }

  private wake(): void {
    this.waiting?.();
  }

  private async until(isSo: () => boolean): Promise<void> {
    while (!isSo() && this.state.stage !== 'failed')
      await new Promise<void>((resolve) => {
        this.waiting = resolve;
      });
  }
}

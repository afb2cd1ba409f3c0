// QEMU's machine protocol: one command at a time, each with its answer.
import { connect, type Socket } from 'node:net';

interface QmpMessage {
  readonly QMP?: object;
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

export class Qmp {
  private readonly socket: Socket;
  private readonly waiting: { resolve: () => void; reject: (why: Error) => void }[] = [];
  private rest = '';

  static async open(path: string): Promise<Qmp> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    const qmp = new Qmp(socket);
    await qmp.run('qmp_capabilities');
    return qmp;
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes) => this.hear(bytes.toString('utf8')));
    socket.on('error', () => {});
    socket.on('close', () => {
      for (const { reject } of this.waiting.splice(0)) reject(new Error('the machine is off'));
    });
  }

  /** Done when QEMU says so. Throws in its words. */
  run(command: string, options: object = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.socket.write(`${JSON.stringify({ execute: command, arguments: options })}\n`);
    });
  }

  close(): void {
    this.socket.destroy();
  }

  private hear(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) {
      const message = JSON.parse(line) as QmpMessage;
      if (message.error !== undefined) this.waiting.shift()?.reject(new Error(message.error.desc));
      else if (message.return !== undefined) this.waiting.shift()?.resolve();
    }
  }
}

// The parent process of a board: starts it, tells the peer of its death on the front LAN and on the
// serial line, starts it again. Does nothing that could fail while the board lives.
import { createSocket, type Socket } from 'node:dgram';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { GenerationStore } from '../../watchdog/generation-store.ts';
import { pathKeys } from '../../watchdog/path-frame.ts';
import { framed } from '../../watchdog/serial-path.ts';
import { Supervisor } from '../../watchdog/supervisor.ts';
import type { Loaded } from './config/load.ts';
import type { EventLog } from './events.ts';

/** What a board process ends with that wants to be started again, with its configuration read anew. */
export const RESTART_CODE = 7;

export interface SuperviseOptions extends Loaded {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly stdio?: 'inherit' | 'ignore';
  readonly events: EventLog;
}

export interface SupervisedEnd {
  readonly kind: 'ordered' | 'restart' | 'given-up';
}

export class Supervised {
  readonly ended: Promise<SupervisedEnd>;
  private readonly supervisor: Supervisor;
  private readonly socket: Socket;
  private resolveEnded: (end: SupervisedEnd) => void = () => {};

  constructor(options: SuperviseOptions) {
    const { config, pairingKey, command, args, env, stdio = 'inherit', events } = options;
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
    // Bound now: at the hour of death nothing is set up.
    this.socket = createSocket('udp4');
    this.socket.on('error', () => {});
    this.socket.bind(0, config.front.bind);
    const { peer, port } = config.front;
    const ways = [(frame: Buffer) => this.socket.send(frame, port, peer, () => {})];
    const { serial } = config;
    if (serial !== null) ways.push((frame) => sayOnSerial(serial.port, framed(frame)));
    this.supervisor = new Supervisor({
      command,
      args,
      stdio,
      ...(env === undefined ? {} : { env }),
      store: new GenerationStore(config.stateDir),
      keys: pathKeys(pairingKey, config.side),
      ways,
      isOrdered: (code) => code === 0 || code === RESTART_CODE,
      onOrdered: (code) =>
        this.resolveEnded({ kind: code === RESTART_CODE ? 'restart' : 'ordered' }),
      onDeath: ({ code, signal, bySentinel }) => {
        const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
        events.tell('BOARD-DIED', `the board process ${how}; the peer is told`, {
          code,
          signal,
          bySentinel,
        });
      },
      onGivenUp: (why) => {
        events.tell('BOARD-GIVEN-UP', why);
        this.resolveEnded({ kind: 'given-up' });
      },
    });
  }

  start(): void {
    this.supervisor.start();
  }

  get boardPid(): number | undefined {
    return this.supervisor.pid;
  }

  /** SIGTERM to the board, which hands over if it can. */
  async stop(): Promise<void> {
    await this.supervisor.stop();
    this.resolveEnded({ kind: 'ordered' });
  }

  close(): void {
    this.socket.close();
  }
}

/** The port keeps the settings the board gave it. Never waits: what does not fit is lost. */
function sayOnSerial(port: string, bytes: Uint8Array): void {
  const fd = openSync(port, constants.O_WRONLY | constants.O_NOCTTY | constants.O_NONBLOCK);
  try {
    writeSync(fd, bytes);
  } finally {
    closeSync(fd);
  }
}

// The parent process of a board: starts it, tells the peer of its death on the front LAN and on the
// serial line, starts it again. Does nothing that could fail while the board lives.
import { createSocket, type Socket } from 'node:dgram';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { pathKeys } from '../../watchdog/path-frame.ts';
import { RoleRecordStore } from '../../watchdog/role-record-store.ts';
import { framed } from '../../watchdog/serial-path.ts';
import { type RestartPlan, Supervisor } from '../../watchdog/supervisor.ts';
import type { Loaded } from './config/load.ts';
import type { EventLog } from './events.ts';

const BIND_AGAIN_MS = 500;

/** What a board process ends with that wants to be started again, with its configuration read anew. */
export const RESTART_CODE = 7;

export interface SuperviseOptions extends Loaded {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly stdio?: 'inherit' | 'ignore';
  /** Descriptor of the locked state folder (state-folder.ts). */
  readonly lock: number;
  readonly events: EventLog;
  readonly plan?: Partial<RestartPlan>;
}

export interface SupervisedEnd {
  readonly kind: 'ordered' | 'restart' | 'given-up';
}

export class Supervised {
  readonly ended: Promise<SupervisedEnd>;
  private readonly supervisor: Supervisor;
  private readonly front: FrontMouth;
  private resolveEnded: (end: SupervisedEnd) => void = () => {};

  constructor(options: SuperviseOptions) {
    const { config, pairingKey, command, args, env, stdio = 'inherit', events, plan } = options;
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
    const { bind, peer, port } = config.front;
    this.front = new FrontMouth(bind);
    const ways = [(frame: Buffer) => this.front.say(frame, port, peer)];
    const { serial } = config;
    if (serial !== null) ways.push((frame) => sayOnSerial(serial.port, framed(frame)));
    this.supervisor = new Supervisor({
      command,
      args,
      stdio,
      lock: options.lock,
      ...(env === undefined ? {} : { env }),
      store: new RoleRecordStore(config.stateDir),
      keys: pathKeys(pairingKey, config.side),
      ...(plan === undefined ? {} : { plan }),
      ways,
      isOrdered: (code) => code === 0 || code === RESTART_CODE,
      onOrdered: (code) =>
        this.resolveEnded({ kind: code === RESTART_CODE ? 'restart' : 'ordered' }),
      onDeath: ({ code, signal, bySentinel, wasMute }) => {
        if (wasMute) events.tell('BOARD-MUTE');
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
    this.front.open();
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
    this.front.close();
  }
}

/** For the last word: bound before it is needed. The address may come later than this process. */
class FrontMouth {
  private readonly address: string;
  private socket: Socket | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(address: string) {
    this.address = address;
  }

  open(): void {
    const socket = createSocket('udp4');
    socket.on('error', () => {
      // Of a send that failed, or of an address that is not here yet.
      if (this.socket === socket) return;
      socket.close();
      this.timer = setTimeout(() => this.open(), BIND_AGAIN_MS);
    });
    socket.bind(0, this.address, () => {
      this.socket = socket;
    });
  }

  say(frame: Buffer, port: number, peer: string): void {
    this.socket?.send(frame, port, peer, () => {});
  }

  close(): void {
    clearTimeout(this.timer);
    this.socket?.close();
    this.socket = undefined;
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

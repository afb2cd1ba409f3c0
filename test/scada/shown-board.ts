// A board as an agent finds it: a real control socket over a status the test says, and a wire to that socket
// which can hang.
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { ControlServer } from '../../firmware/board/control/server.ts';
import { EventLog } from '../../firmware/board/events.ts';
import type { ScadaReport } from '../../firmware/board/scada-desk.ts';
import type { Status } from '../../firmware/board/status.ts';
import { healthyStatus } from '../board/alarms/statuses.ts';
import { Awaited } from './host.ts';

export class ShownBoard {
  readonly name: string;
  events = new EventLog({ wallMs: () => Date.now(), monoMs: () => 0 });
  readonly path: string;
  /** What the agent says of itself. */
  readonly reports = new Awaited<ScadaReport>();
  private pid = 1;
  private shown: Status;
  private server: ControlServer | undefined;

  constructor(folder: string, name: string) {
    this.name = name;
    this.path = join(folder, `${name}.sock`);
    this.shown = statusOf(name, 'cold', 'STARTUP');
  }

  async start(): Promise<void> {
    this.server = await ControlServer.open(this.path, {
      events: this.events,
      status: () => ({ ...this.shown, board: { ...this.shown.board, pid: this.pid } }),
      request: () => ({ ok: false, why: 'not here' }),
      alarms: () => [],
      alarmHistory: () => [],
      ack: () => 0,
      takeScadaReport: (report) => this.reports.add(report),
    });
  }

  becomes(role: Status['role'], pairState: Status['pairState']): void {
    this.shown = statusOf(this.name, role, pairState);
    this.events.tell('PAIR-STATE', `${this.name} is ${role}`);
  }

  async dies(): Promise<void> {
    await this.server?.close();
  }

  /** Its state is lost, too: it counts its starts and its events anew. */
  async startsAnew(): Promise<void> {
    await this.dies();
    this.pid += 1;
    this.events = new EventLog({ wallMs: () => Date.now(), monoMs: () => 0 });
    await this.start();
  }
}

function statusOf(name: string, role: Status['role'], pairState: Status['pairState']): Status {
  const healthy = healthyStatus();
  return {
    ...healthy,
    ...{ role, pairState, why: 'shown' },
    board: { ...healthy.board, name, side: name.endsWith('a') ? 'a' : 'b', boot: 7 },
    safeToRemove: { ok: role === 'backup', why: 'shown' },
  };
}

type Address = string | { readonly host: string; readonly port: number };

/** A wire between two sockets; while it hangs, everything is accepted and nothing arrives. */
export class Between {
  readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private isHanging = false;

  /** Listens at a path, or at a port of its own. */
  constructor(at: string | undefined, there: Address) {
    this.server = createServer((socket) => {
      const other = typeof there === 'string' ? connect(there) : connect(there);
      for (const [from, to] of [
        [socket, other],
        [other, socket],
      ] as const) {
        this.sockets.add(from);
        from.on('error', () => {});
        from.on('close', () => {
          if (!this.isHanging) to.destroy();
        });
        from.pipe(to);
        if (this.isHanging) from.unpipe(to).pause();
      }
    });
    if (at === undefined) this.server.listen(0, '127.0.0.1');
    else this.server.listen(at);
  }

  get port(): number {
    return (this.server.address() as { port: number }).port;
  }

  hang(isHanging: boolean): void {
    this.isHanging = isHanging;
    if (isHanging) for (const socket of this.sockets) socket.unpipe().pause();
    else this.cut();
  }

  async close(): Promise<void> {
    this.isHanging = false;
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private cut(): void {
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
  }
}

// One emulated board of the pair: power, reset button, cables, what it tells, and its technician.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { BoardEvent } from '../../firmware/board/events.ts';
import { Machine, type MachinePlan } from '../appliance/machine.ts';
import type { Side } from '../twin/network.ts';
import { frontTap } from './plant.ts';
import { Qmp } from './qmp.ts';
import { Technician } from './technician.ts';

export const LEADS: ReadonlySet<string> = new Set(['solo', 'source', 'granting', 'protected']);

export interface BoardPlan {
  readonly side: Side;
  readonly folder: string;
  readonly peerFolder: string;
  readonly disk: string;
  /** Read-only, behind its own: the stick, and bundles. */
  readonly extraDisks: readonly string[];
  readonly memoryMib: number;
  /** Another QEMU than this machine's. */
  readonly qemu?: string | undefined;
}

/** Bytes of the serial line to the peer. */
export interface PeerLine {
  readonly plug: (socket: Socket) => void;
}

export class EmulatedBoard {
  readonly side: Side;
  /** Since power-on or reset, as its events tell; empty: it says nothing yet. */
  role = '';
  pairState = '';
  /** When it last said that it leads: one that hangs does not take that back. */
  ledMs = Number.NEGATIVE_INFINITY;
  /** Everything it ever told. */
  readonly events: BoardEvent[] = [];
  onNews: () => void = () => {};
  technician: Technician | undefined;
  private readonly plan: BoardPlan;
  private readonly line: PeerLine;
  private running: { machine: Machine; qmp: Qmp; sockets: Socket[] } | undefined;

  constructor(plan: BoardPlan, line: PeerLine) {
    this.plan = plan;
    this.side = plan.side;
    this.line = line;
  }

  get machine(): Machine {
    if (this.running === undefined) throw new Error(`board ${this.side} has no power`);
    return this.running.machine;
  }

  get isOn(): boolean {
    return this.running !== undefined;
  }

  /** Everything its technician's line said, over all its starts. */
  transcript = '';

  /** `withoutLog`: its log card finds no carrier, long before the system is there to look. */
  async powerOn(withoutLog: boolean): Promise<void> {
    const machine = new Machine(this.machinePlan());
    this.forget();
    await machine.hasSockets();
    const sockets = [connect(machine.socket('peer')), connect(machine.socket('events'))];
    const [peer, events] = sockets as [Socket, Socket];
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    this.line.plug(peer);
    this.listen(events);
    const qmp = await Qmp.open(machine.socket('qmp'));
    this.running = { machine, qmp, sockets };
    if (withoutLog) await this.carrier('log', false);
    this.technician = new Technician(machine);
  }

  /** The plug is pulled: QEMU is gone at once, with everything that was not on the disk. */
  async powerCut(): Promise<void> {
    const { running } = this;
    if (running === undefined) return;
    this.running = undefined;
    this.technician = undefined;
    this.forget();
    await running.machine.stop();
    this.transcript += `${running.machine.text}\n---- power cut ----\n`;
    running.qmp.close();
    for (const socket of running.sockets) socket.destroy();
  }

  async reset(): Promise<void> {
    this.forget();
    await this.qmp('system_reset');
  }

  /** Whether its card has a carrier. */
  async carrier(card: 'front' | 'log', isThere: boolean): Promise<void> {
    await this.qmp('set_link', { name: card, up: isThere });
  }

  async qmp(command: string, options?: object): Promise<void> {
    if (this.running === undefined) throw new Error(`board ${this.side} has no power`);
    await this.running.qmp.run(command, options);
  }

  /** What it told since event number `from` of `events`. */
  told(code: string, from: number): BoardEvent | undefined {
    return this.events.slice(from).find((event) => event.code === code);
  }

  /** It is about to start from nothing: what it said last is no longer so. */
  forget(): void {
    [this.role, this.pairState] = ['', ''];
  }

  private machinePlan(): MachinePlan {
    const { side, folder, peerFolder, disk, extraDisks, memoryMib, qemu } = this.plan;
    const unix = (at: string, way: string) =>
      `${way}.type=unix,${way}.path=${join(at, 'log.sock')}`;
    return {
      ...{
        disk,
        folder,
        memoryMib,
        isOfPair: true,
        number: side === 'a' ? 1 : 2,
        extraDisks,
        ...(qemu === undefined ? {} : { qemu }),
      },
      networks: [
        `tap,id=front,ifname=${frontTap(side)},script=no,downscript=no`,
        `dgram,id=log,${unix(folder, 'local')},${unix(peerFolder, 'remote')}`,
      ],
    };
  }

  private listen(socket: Socket): void {
    let rest = '';
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      const lines = (rest + bytes.toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.hear(line);
      this.onNews();
    });
  }

  private setRole(role: string): void {
    this.role = role;
    if (LEADS.has(role)) this.ledMs = performance.now();
  }

  private hear(line: string): void {
    let event: BoardEvent;
    try {
      event = JSON.parse(line) as BoardEvent;
    } catch {
      // A line that the power cut.
      return;
    }
    this.events.push(event);
    if (event.code === 'BOARD-STARTED') this.forget();
    if (event.code.startsWith('ROLE-')) this.setRole(event.code.slice(5).toLowerCase());
    if (event.code === 'PAIR-STATE') this.pairState = String(event.data?.to ?? '');
  }
}

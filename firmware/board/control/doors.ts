// The ways in to a board: its two control sockets. A socket that cannot be had (no room for one in the
// state folder) is tried again: a board that serves and cannot be asked is worth more than none.
import { basename, join } from 'node:path';
import { systemWords } from '../../host/errors.ts';
import { groupId } from '../../host/group.ts';
import type { BoardConfig } from '../config/types.ts';
import { ControlServer } from './server.ts';
import type { Access, Controlled } from './verbs.ts';

export const CONTROL_SOCKET = 'control.sock';
/** Where there is such a group, its members may use the control socket. */
const CONTROL_GROUP = 'twinstep';
/** The same board for those who only look: agents. */
export const READ_SOCKET = 'control-read.sock';
const READ_GROUP = 'twinstep-read';
const AGAIN_MS = 1_000;

export class Doors {
  private readonly config: BoardConfig;
  private readonly board: Controlled;
  private readonly servers: ControlServer[] = [];
  private closed: Access[] = ['full', 'read'];
  private timer: NodeJS.Timeout | undefined;
  private opening: Promise<void> = Promise.resolve();
  private toldWhy: string | null = null;
  private readonly ownUser = new Set<string>();
  private isClosing = false;

  constructor(config: BoardConfig, board: Controlled) {
    this.config = config;
    this.board = board;
  }

  /** Settles when each has been tried once. */
  start(): Promise<void> {
    this.opening = this.openClosed();
    return this.opening;
  }

  async close(): Promise<void> {
    this.isClosing = true;
    clearTimeout(this.timer);
    await this.opening;
    for (const server of this.servers) await server.close();
  }

  private async openClosed(): Promise<void> {
    const left: Access[] = [];
    const why: string[] = [];
    for (const access of this.closed) {
      try {
        this.servers.push(await this.open(access));
      } catch (error) {
        left.push(access);
        why.push(`${basename(this.pathOf(access))}: ${systemWords(error)}`);
      }
    }
    this.closed = left;
    this.tell(why.length === 0 ? null : why.join('; '));
    if (left.length === 0 || this.isClosing) return;
    this.timer = setTimeout(() => void this.start(), AGAIN_MS);
  }

  private tell(why: string | null): void {
    if (why === this.toldWhy) return;
    this.toldWhy = why;
    const { events } = this.board;
    if (why === null) events.tell('CONTROL-OPENED');
    else events.tell('CONTROL-CLOSED', `nobody can ask this board there: ${why}`);
  }

  private pathOf(access: Access): string {
    return join(this.config.stateDir, access === 'full' ? CONTROL_SOCKET : READ_SOCKET);
  }

  /** Without its group a socket is the board's own user's: a board that serves is worth more. */
  private async open(access: Access): Promise<ControlServer> {
    const { controlGroup, readGroup } = this.config;
    const isFull = access === 'full';
    const path = this.pathOf(access);
    const given = isFull ? controlGroup : readGroup;
    if (given === 'none') return await ControlServer.open(path, this.board, null, access);
    const name = given ?? (isFull ? CONTROL_GROUP : READ_GROUP);
    const group = groupId(name);
    if (group === null) {
      if (given !== null) this.tellOwnUser(path, `there is no group "${name}"`);
      return await ControlServer.open(path, this.board, null, access);
    }
    try {
      return await ControlServer.open(path, this.board, group, access);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
      this.tellOwnUser(path, `the board's user is not in the group "${name}"`);
      return await ControlServer.open(path, this.board, null, access);
    }
  }

  private tellOwnUser(path: string, why: string): void {
    if (this.ownUser.has(path)) return;
    this.ownUser.add(path);
    const { events } = this.board;
    events.tell('CONTROL-OWN-USER', undefined, { socket: basename(path), why });
  }
}

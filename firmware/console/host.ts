// The outside of a console: carries out what the dialogues call for. Every answer is words, never a throw.
import { existsSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { problemsOf, readConfig } from '../board/config/load.ts';
import type { BoardConfig } from '../board/config/types.ts';
import { CONTROL_SOCKET } from '../board/control/doors.ts';
import { textOf } from '../host/brought-file.ts';
import { readClock } from '../host/clock.ts';
import { systemWords } from '../host/errors.ts';
import { askTimeTools } from '../host/time-tools.ts';
import { BoardLink, type BoardLinkEvents } from './board-link.ts';
import { ConfigDesk } from './config-desk.ts';
import { diagnose } from './diagnose.ts';
import { Lockout } from './lockout.ts';
import type { Begun, Call, ConfigText, Done, LoginAnswer, TimeText } from './needs.ts';
import { SetupDesk } from './setup-desk.ts';
import { isPassword, loadUsers, makeUser, saveUsers, writeSafely } from './users.ts';

export interface HostOptions {
  readonly configFile: string;
  readonly usersFile: string | undefined;
  /** Where this console is, for banner and lockout: ttyS0, ssh. */
  readonly line: string;
  readonly version: string;
  readonly wallMs: () => number;
  /** Ends in words when it cannot be done. */
  readonly power: (what: 'reboot' | 'power-off') => Promise<void>;
}

export interface HostEvents extends BoardLinkEvents {
  readonly fromGuest: (bytes: Uint8Array) => void;
  readonly guestEnded: (why: string) => void;
}

const LOCKOUT_FILE = 'console.lockout';
const CONFIG_BYTES_SHOWN = 64 << 10;

export class ConsoleHost {
  private readonly options: HostOptions;
  private readonly events: HostEvents;
  private readonly usersFile: string;
  private link: BoardLink | null = null;
  private config: BoardConfig | null = null;
  private lockout = new Lockout();
  private guest: Socket | null = null;
  private readonly desk: ConfigDesk;
  private readonly setup: SetupDesk;

  constructor(options: HostOptions, events: HostEvents) {
    this.options = options;
    this.events = events;
    this.usersFile = options.usersFile ?? join(dirname(options.configFile), 'users');
    const { configFile: file, line } = options;
    this.setup = new SetupDesk(file);
    this.desk = new ConfigDesk({ file, line, usersFile: this.usersFile });
  }

  async carryOut(call: Call): Promise<unknown> {
    switch (call.do) {
      case 'begin':
        return await this.begin();
      case 'login':
        return await this.login(call.user, call.password);
      case 'set-user':
        return await this.setUser(call);
      case 'ask':
        return (
          (await this.link?.ask(call.request)) ?? {
            ok: false,
            why: 'the configuration does not say where its socket is',
            isAbsent: true,
          }
        );
      case 'diagnose':
        return await diagnose(this.options.configFile);
      case 'time':
        return await this.timeText();
      case 'config':
        return await this.configText();
      case 'config-open':
      case 'config-close':
      case 'config-check':
      case 'config-commit':
      case 'config-history':
      case 'config-confirm':
      case 'factory-reset':
        return await this.desk.carryOut(call);
      case 'setup-facts':
      case 'setup-check':
      case 'pair-begin':
      case 'pair-decide':
      case 'pair-stop':
        return await this.setup.carryOut(call);
      case 'setup-write': {
        const written = (await this.setup.carryOut(call)) as Done;
        if (written.ok) await this.connect();
        return written;
      }
      case 'power':
        return await done(() => this.options.power(call.what));
      case 'open-guest':
        return await this.openGuest();
    }
  }

  toGuest(bytes: Uint8Array): void {
    this.guest?.write(bytes);
  }

  leaveGuest(): void {
    const { guest } = this;
    this.guest = null;
    guest?.destroy();
  }

  close(): void {
    this.leaveGuest();
    this.link?.close();
    this.desk.close();
    void this.setup.close();
  }

  /** Beside the users: the console's own user cannot write where the board keeps its reign. */
  private get lockoutFile(): string {
    return join(dirname(this.usersFile), LOCKOUT_FILE);
  }

  private async begin(): Promise<Begun> {
    const { configFile, version, line } = this.options;
    await this.connect();
    this.lockout = readLockout(this.lockoutFile);
    const { config } = this;
    const board = config === null || config.name === '' ? hostname() : config.name;
    const isBare = !existsSync(configFile);
    return { version, line, board, hasUsers: await this.hasUsers(), isBare };
  }

  private async connect(): Promise<void> {
    const { configFile } = this.options;
    try {
      this.config = (await readConfig(configFile)).config;
    } catch {
      // Told by `show status` with every mistake.
    }
    const { config } = this;
    if (config !== null) {
      this.link?.close();
      this.link = new BoardLink(join(config.stateDir, CONTROL_SOCKET), this.events);
      await this.link.start();
    }
  }

  private async hasUsers(): Promise<boolean> {
    try {
      return (await loadUsers(this.usersFile)) !== null;
    } catch {
      // There are, but who they are cannot be read: nobody gets in by that.
      return true;
    }
  }

  private async login(name: string, password: string): Promise<LoginAnswer> {
    const { line, wallMs } = this.options;
    const waitMs = this.lockout.waitMs(name, line, wallMs());
    if (waitMs > 0)
      return { ok: false, why: `Too many wrong passwords: wait ${Math.ceil(waitMs / 1000)} s.` };
    try {
      const user = (await loadUsers(this.usersFile))?.get(name);
      if (await isPassword(user, password)) {
        this.lockout.succeeded(name, line);
        await this.keepLockout();
        return { ok: true, role: user!.role };
      }
      this.lockout.failed(name, line, user !== undefined, wallMs());
      await this.keepLockout();
      return { ok: false, why: 'Login incorrect.' };
    } catch (error) {
      return { ok: false, why: `No login is possible: ${(error as Error).message}` };
    }
  }

  /** The next console on this line, a second later, must know. */
  private async keepLockout(): Promise<void> {
    try {
      await writeSafely(this.lockoutFile, this.lockout.toJson());
    } catch {
      // It holds for this session.
    }
  }

  private async setUser(call: Extract<Call, { do: 'set-user' }>): Promise<Done> {
    return await done(async () => {
      const users = (await loadUsers(this.usersFile)) ?? new Map();
      const role = call.role ?? users.get(call.user)?.role;
      if (role === undefined) throw new Error('there is no such user any more');
      users.set(call.user, await makeUser(call.user, role, call.password));
      if (![...users.values()].some((user) => user.role === 'admin'))
        throw new Error('there must be an admin');
      await saveUsers(this.usersFile, users);
    });
  }

  private async configText(): Promise<ConfigText> {
    const file = this.options.configFile;
    let text = '';
    try {
      text = textOf(readFileSync(file)).slice(0, CONFIG_BYTES_SHOWN);
    } catch {
      // One of the problems.
    }
    return { file, text, problems: await problemsOf(file), trial: this.desk.trialWords() };
  }

  private async timeText(): Promise<TimeText> {
    const wallMs = this.options.wallMs();
    return { wallMs, facts: await readClock(), asked: await askTimeTools(wallMs) };
  }

  private async openGuest(): Promise<Done> {
    const com1 = this.config?.guest.com1;
    if (com1?.kind === 'pty')
      return { ok: false, why: 'COM1 is a pseudo-terminal; "show log" names it (GUEST-NOTICE)' };
    if (com1?.kind !== 'socket')
      return { ok: false, why: 'the configuration gives COM1 no socket ([guest] com1)' };
    const socket = connect(com1.path);
    return await done(async () => {
      await new Promise<void>((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', reject);
      });
      this.guest = socket;
      socket.on('error', () => {});
      socket.on('data', (bytes) => this.events.fromGuest(bytes));
      socket.once('close', () => {
        if (this.guest !== socket) return;
        this.guest = null;
        this.events.guestEnded('the guest has closed it');
      });
    });
  }
}

async function done(action: () => Promise<void>): Promise<Done> {
  try {
    await action();
    return { ok: true };
  } catch (error) {
    return { ok: false, why: systemWords(error) };
  }
}

function readLockout(path: string): Lockout {
  try {
    return Lockout.fromJson(readFileSync(path, 'utf8'));
  } catch {
    return new Lockout();
  }
}

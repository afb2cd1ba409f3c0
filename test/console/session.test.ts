// `twinstep console` as a process on a real pseudo-terminal, and in tmux: what a technician with a serial
// cable does, against a control server with a fake board, and with no board at all.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlServer } from '../../firmware/board/control/server.ts';
import type { Controlled } from '../../firmware/board/control/verbs.ts';
import { EventLog } from '../../firmware/board/events.ts';
import type { Status } from '../../firmware/board/status.ts';
import { makeUser, saveUsers } from '../../firmware/console/users.ts';
import { healthyStatus } from '../board/alarms/statuses.ts';
import { assert, needs, repoPath, seededRandom, suite } from '../harness/index.ts';
import { PtyEnd, until } from '../watchdog/pty.ts';
import { golden, Screen } from './screen.ts';

const test = suite('console/session');
const CLI = repoPath('dist/firmware/cli/twinstep.js');
const LONG = { timeoutMs: 120_000 };
const SOON_MS = 40_000;
const PASSWORD = 'correct horse';
let folder = '';
let file = '';
let status: Status;
let asked: string[];
let board: ControlServer | null = null;
let com1: Server;
let guestGot = '';
let users: Map<string, Awaited<ReturnType<typeof makeUser>>>;

const CONFIG = `
[board]
name = "press-7-a"
side = "a"
state-dir = "."
pairing-key-file = "key"
[log]
interface = "none"
[serial]
port = "none"
[front]
interface = "lo"
bind = "127.0.0.21"
peer = "127.0.0.22"
gateway = "none"
[guest]
kernel = "kernel"
com1 = "socket=com1"
`;

function fakeBoard(): Controlled {
  const events = new EventLog({ wallMs: () => 1_000, monoMs: () => 2 });
  events.tell('GUEST-LIVE');
  return {
    events,
    status: () => status,
    wish: (wish) => {
      asked.push(wish.wish);
      if (wish.wish === 'switch-over') status = { ...status, role: 'backup' };
      return { ok: true };
    },
    setSyncAllowed: () => {},
    restart: () => ({ ok: true }),
    stop: () => ({ ok: false, why: 'this board serves and nobody can take over' }),
    alarms: () => status.alarms,
    alarmHistory: () => [],
    ack: (code, by) => {
      asked.push(`ack ${code} ${by}`);
      status = { ...status, alarms: [] };
      return 1;
    },
  };
}

test.before(async () => {
  users = new Map([['eva', await makeUser('eva', 'admin', PASSWORD)]]);
});
test.before.each(async () => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-console-'));
  file = join(folder, 'board.toml');
  writeFileSync(file, CONFIG);
  writeFileSync(join(folder, 'key'), new Uint8Array(32), { mode: 0o600 });
  writeFileSync(join(folder, 'kernel'), '');
  await saveUsers(join(folder, 'users'), users);
  status = healthyStatus();
  const { list } = { list: [{ code: 'TAKEN-OVER', severity: 'warning' }] as const };
  const alarm = { text: 'it fell silent', sinceMs: 0, count: 2, active: false, acked: null };
  status = { ...status, alarms: list.map((kind) => ({ ...kind, ...alarm })) };
  asked = [];
  guestGot = '';
  board = await ControlServer.open(join(folder, 'control.sock'), fakeBoard());
  com1 = createServer((socket) => {
    socket.write('guest login: ');
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      guestGot += bytes.toString('latin1');
    });
  });
  await new Promise<void>((resolve) => com1.listen(join(folder, 'com1'), resolve));
});
test.after.each(async () => {
  await board?.close();
  com1.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A console on a terminal of its own. */
class Technician {
  readonly screen = new Screen();
  readonly pty = new PtyEnd();
  readonly child: ChildProcess;
  readonly settingsBefore: string;
  errors = '';
  private raw = '';
  private seen = 0;

  constructor() {
    const fd = openSync(this.pty.slavePath, 'r+');
    spawnSync('stty', ['-F', this.pty.slavePath, 'sane']);
    this.settingsBefore = this.settings();
    this.pty.onData = (bytes) => {
      const text = Buffer.from(bytes).toString('latin1');
      this.raw += text;
      this.screen.put(text);
    };
    this.child = spawn(process.execPath, [CLI, 'console', '--config', file], {
      stdio: [fd, fd, 'pipe'],
    });
    this.child.stderr?.on('data', (bytes) => {
      this.errors += bytes;
    });
    closeSync(fd);
  }

  settings(): string {
    return spawnSync('stty', ['-F', this.pty.slavePath, '-g'], { encoding: 'utf8' }).stdout;
  }

  /** Types only when it is asked for. */
  async at(prompt: string, keys: string): Promise<void> {
    await this.sees(prompt);
    this.pty.write(Buffer.from(keys, 'latin1'));
  }

  async sees(what: string): Promise<void> {
    try {
      await until(what, () => this.raw.indexOf(what, this.seen) >= 0, SOON_MS);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.screen.all}\n${this.errors}`);
    }
    this.seen = this.raw.indexOf(what, this.seen) + what.length;
  }

  async login(): Promise<void> {
    await this.at('login: ', 'eva\r');
    await this.at('Password: ', `${PASSWORD}\r`);
  }

  async end(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const exit = once(this.child, 'exit');
      this.child.kill('SIGKILL');
      await exit;
    }
    this.pty.close();
  }
}

async function withTechnician(work: (technician: Technician) => Promise<void>): Promise<void> {
  const technician = new Technician();
  try {
    await work(technician);
  } finally {
    await technician.end();
  }
}

test(
  'a service visit by serial cable alone',
  () =>
    withTechnician(async (technician) => {
      const prompt = 'PRIMARY RUN-Redundant# ';
      await technician.at('login: ', 'eva\r');
      await technician.at('Password: ', 'wrong\r');
      await technician.sees('Login incorrect.');
      await technician.login();
      await technician.at(prompt, 'sh st\r');
      await technician.sees('Do NOT switch off');
      await technician.at(prompt, 'show al\r');
      await technician.sees('NOT acknowledged');
      await technician.at(prompt, 'ack taken-over\r');
      await technician.sees('acknowledged: 1');
      await technician.at(prompt, 'guest console\r');
      await technician.at('guest login: ', 'root\r\x03\x04');
      await until('the guest has it', () => guestGot === 'root\r\x03\x04', SOON_MS);
      technician.pty.write(Buffer.from('\x1d'));
      await technician.sees('left the guest console');
      await technician.at(prompt, 'request switch-over\r');
      await technician.at('[yes/no] ', 'yes\r');
      await technician.sees('Done.');
      await technician.sees('press-7-a BACKUP RUN-Redundant# ');
      golden('service-visit', `${technician.screen.all.replace(/Twinstep \S+/, 'Twinstep X')}\n`);
      const exit = once(technician.child, 'exit');
      technician.pty.write(Buffer.from('\x04'));
      assert.equal(await exit, [0, null]);
      assert.is(technician.settings(), technician.settingsBefore, 'the terminal is as it was');
      assert.equal(asked, ['ack TAKEN-OVER eva', 'switch-over']);
      assert.is(technician.errors, '');
    }),
  LONG,
);

test(
  'a dead board with a wrong configuration: the console says what is wrong, with lines',
  async () => {
    await board?.close();
    board = null;
    writeFileSync(
      file,
      CONFIG.replace('side = "a"', 'side = "x"').replace('"lo"', '"far too long a name"'),
    );
    await withTechnician(async (technician) => {
      await technician.login();
      await technician.at('press-7-a NO-BOARD# ', 'show status\r');
      await technician.sees('look there before you switch this one off');
      const text = technician.screen.all.replaceAll(folder, '/etc/twinstep');
      assert.match(text, 'board.toml:4: [board] side "x" must be');
      assert.match(text, 'board.toml:12: [front] interface');
      assert.match(text, 'No supervisor runs');
      await technician.at('NO-BOARD# ', 'request switch-over\r');
      await technician.sees('THE BOARD DOES NOT ANSWER');
    });
  },
  LONG,
);

test(
  'the board comes back while somebody is logged in; SIGHUP ends it and restores',
  async () => {
    await board?.close();
    board = null;
    await withTechnician(async (technician) => {
      await technician.login();
      await technician.sees('NO-BOARD# ');
      board = await ControlServer.open(join(folder, 'control.sock'), fakeBoard());
      await technician.pty.write(Buffer.from('show guest\r'));
      await technician.at('PRIMARY RUN-Redundant# ', 'monitor status\r');
      await technician.sees('(live; q ends)');
      const exit = once(technician.child, 'exit');
      technician.child.kill('SIGHUP');
      assert.equal(await exit, [0, null]);
      assert.is(technician.settings(), technician.settingsBefore);
    });
  },
  LONG,
);

test(
  'wrong passwords lock this line for the next session too',
  async () => {
    for (let session = 0; session < 2; session++) {
      await withTechnician(async (technician) => {
        for (let n = 0; n < 3; n++) {
          await technician.at('login: ', 'eva\r');
          await technician.at('Password: ', 'wrong\r');
          if (session * 3 + n < 5) await technician.sees('Login incorrect.');
          else await technician.sees('Too many wrong passwords: wait ');
        }
      });
    }
  },
  LONG,
);

test(
  'noise and floods on the line change nothing',
  () =>
    withTechnician(async (technician) => {
      const random = seededRandom();
      await technician.login();
      await technician.sees('# ');
      for (let n = 0; n < 32; n++) {
        const noise = random.bytes(1_000).map((byte) => ([4, 10, 13].includes(byte) ? 0xee : byte));
        await until('the line takes it', () => technician.pty.write(noise), SOON_MS);
      }
      await until('Ctrl-C', () => technician.pty.write(Buffer.from('\x03show alarms\r')), SOON_MS);
      await technician.sees('NOT acknowledged');
      assert.equal(asked, []);
      assert.is(technician.child.exitCode, null);
    }),
  LONG,
);

test(
  'in tmux, as over ssh',
  async () => {
    const { met, why } = needs.command('tmux');
    if (!met) return console.log(`left out: ${why}`);
    const socket = join(folder, 'tmux');
    const tmux = async (...args: string[]): Promise<string> => {
      const child = spawn('tmux', ['-S', socket, '-f', '/dev/null', ...args]);
      let out = '';
      child.stdout.on('data', (bytes) => {
        out += bytes;
      });
      child.stderr.on('data', (bytes) => {
        out += bytes;
      });
      await once(child, 'close');
      return out;
    };
    const sees = async (what: RegExp): Promise<string> => {
      const endMs = performance.now() + SOON_MS;
      for (;;) {
        const pane = await tmux('capture-pane', '-p');
        if (what.test(pane)) return pane;
        if (performance.now() > endMs) throw new Error(`not seen: ${what}\n${pane}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    };
    const command = `'${process.execPath}' '${CLI}' console --config '${file}'; sleep 60`;
    try {
      await tmux('new-session', '-d', '-x', '80', '-y', '24', command);
      await sees(/login:/);
      await tmux('send-keys', 'eva', 'Enter');
      await sees(/Password:/);
      await tmux('send-keys', '-l', PASSWORD);
      await tmux('send-keys', 'Enter');
      await sees(/RUN-Redundant#/);
      await tmux('send-keys', 'shw status', 'Home', 'Right', 'Right', 'o', 'Enter');
      const pane = await sees(/switch over first\.\n.*RUN-Redundant#/);
      golden('tmux-status', `${pane.trimEnd().replace(/Twinstep \S+/, 'Twinstep X')}\n`);
    } finally {
      await tmux('kill-server');
    }
  },
  LONG,
);

test.run();

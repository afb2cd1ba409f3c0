// `twinstep console` as a process on a real pseudo-terminal, and in tmux: what a technician with a serial
// cable does, against a control server with a fake board, and with no board at all.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlServer } from '../../firmware/board/control/server.ts';
import type { Controlled } from '../../firmware/board/control/verbs.ts';
import { EventLog } from '../../firmware/board/events.ts';
import type { Status } from '../../firmware/board/status.ts';
import { makeUser, saveUsers } from '../../firmware/console/users.ts';
import { healthyStatus } from '../board/alarms/statuses.ts';
import { loneConfig } from '../board/lone-config.ts';
import { assert, needs, repoPath, seededRandom, suite } from '../harness/index.ts';
import { until } from '../watchdog/pty.ts';
import { golden } from './screen.ts';
import { SOON_MS, Technician } from './technician.ts';

const test = suite('console/session');
const CLI = repoPath('dist/firmware/cli/twinstep.js');
const LONG = { timeoutMs: 120_000 };
const PASSWORD = 'correct horse';
let folder = '';
let file = '';
let status: Status;
let asked: string[];
let board: ControlServer | null = null;
let com1: Server;
let guestGot = '';
let users: Map<string, Awaited<ReturnType<typeof makeUser>>>;

const CONFIG = loneConfig({
  ...{ name: 'press-7-a', stateDir: '.', host: 21 },
  guest: ['com1 = "socket=com1"'],
});

function fakeBoard(): Controlled {
  const events = new EventLog({ wallMs: () => 1_000, monoMs: () => 2 });
  events.tell('GUEST-LIVE');
  return {
    events,
    status: () => status,
    request: (asking) => {
      asked.push(asking.request);
      const { seq: taken } = events.tell('REQUEST-TAKEN');
      if (asking.request === 'switch-over') {
        status = { ...status, role: 'backup' };
        setTimeout(() => events.tell('REQUEST-DONE', undefined, { taken }), 300);
      }
      return { ok: true, taken, done: false };
    },
    alarms: () => status.alarms,
    alarmHistory: () => [],
    ack: (code, by) => {
      asked.push(`ack ${code} ${by}`);
      status = { ...status, alarms: [] };
      return 1;
    },
    takeScadaReport: () => {},
  };
}

test.before(async () => {
  users = new Map([['eva', await makeUser('eva', 'admin', PASSWORD)]]);
});
test.before.each(async () => {
  folder = mkdtempSync(join(tmpdir(), 'c'));
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

async function withTechnician(work: (technician: Technician) => Promise<void>): Promise<void> {
  const technician = new Technician(file, { user: 'eva', password: PASSWORD });
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
      assert.match(text, 'board.toml:13: [front] interface');
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
      const before = readFileSync(file, 'utf8');
      // After a flood the line may be full.
      const types = (keys: string) =>
        until('the line takes it', () => technician.pty.write(Buffer.from(keys)), SOON_MS);
      const flood = async () => {
        for (let n = 0; n < 32; n++) {
          const bytes = random.bytes(1_000);
          const noise = bytes.map((byte) => ([4, 10, 13].includes(byte) ? 0xee : byte));
          await until('the line takes it', () => technician.pty.write(noise), SOON_MS);
        }
        await types('\x03');
      };
      await technician.sees('login: ');
      await flood();
      // A name without end is one wrong name.
      for (let n = 0; n < 16; n++) {
        const letters = new Uint8Array(1_000).fill(0x61);
        await until('the line takes it', () => technician.pty.write(letters), SOON_MS);
      }
      await types('\r');
      await technician.at('Password: ', 'x\r');
      await technician.sees('Login incorrect.');
      await technician.login();
      await technician.at('RUN-Redundant# ', 'configure\r');
      await technician.sees('configure# ');
      await flood();
      await types('exit\r');
      await technician.sees('RUN-Redundant# ');
      assert.is(readFileSync(file, 'utf8'), before);
      await flood();
      await types('\x03show alarms\r');
      await technician.sees('NOT acknowledged');
      assert.equal(asked, []);
      assert.is(technician.child.exitCode, null);
    }),
  LONG,
);

test(
  'factory reset: configuration, key and users go; the record of past reigns and the alarms stay',
  async () => {
    await board?.close();
    board = null;
    const kept = ['alarms.log', 'kernel', 'role-record.0', 'role-record.1'];
    for (const name of kept) writeFileSync(join(folder, name), 'kept');
    await withTechnician(async (technician) => {
      await technician.login();
      await technician.at('NO-BOARD# ', 'configure\r');
      await technician.at('configure# ', 'set board.sync-up forbidden\r');
      await technician.at('configure*# ', 'commit\r');
      await technician.at('configure# ', 'exit\r');
      await technician.at('NO-BOARD# ', 'request factory-reset\r');
      await technician.at('(press-7-a) to go on: ', 'press-7-a\r');
      await technician.sees('This board is bare.');
    });
    const left = readdirSync(folder).filter((name) => !/^(com1|console\.lockout)$/.test(name));
    assert.equal(left.sort(), kept);
    assert.ok(kept.every((name) => readFileSync(join(folder, name), 'utf8') === 'kept'));
    await withTechnician((technician) => technician.sees('Set the password of "admin"'));
  },
  LONG,
);

test(
  'the configuration by two consoles: one edits, the other is told who; commit and back',
  () =>
    withTechnician((one) =>
      withTechnician(async (other) => {
        await Promise.all([one.login(), other.login()]);
        await one.at('RUN-Redundant# ', 'configure\r');
        await one.sees('configure# ');
        await other.at('RUN-Redundant# ', 'configure\r');
        await other.sees('It cannot be edited: eva on remote since ');
        one.types('set guest.memory-mib 64\r');
        await one.at('configure*# ', 'commit\r');
        await one.sees('In force.');
        assert.is(readFileSync(file, 'utf8'), `${CONFIG}memory-mib = 64\n`);
        await one.at('configure# ', 'set front.bind nonsense\r');
        await one.at('configure*# ', 'set guest.kernel nowhere\r');
        await one.at('configure*# ', 'commit\r');
        await one.sees('THE CANDIDATE IS WRONG (2)');
        // The line is hung up in the middle: the candidate is gone, the next one may edit.
        await one.end();
        other.types('configure\r');
        await other.at('configure# ', 'rollback 1\r');
        await other.at('configure*# ', 'commit confirmed 5\r');
        await other.sees('On trial.');
        assert.is(readFileSync(file, 'utf8'), CONFIG);
        await other.at('configure# ', 'exit\r');
        await other.at('RUN-Redundant# ', 'show config\r');
        await other.sees('On trial by eva: it returns in 5 min');
        await other.at('RUN-Redundant# ', 'confirm no\r');
        await other.sees('The version before is in force again.');
        assert.is(readFileSync(file, 'utf8'), `${CONFIG}memory-mib = 64\n`);
        await other.at('RUN-Redundant# ', 'show config history\r');
        await other.sees('went by itself, not confirmed');
      }),
    ),
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
      // A smaller window; the console is told, as over a serial line it cannot see it.
      await tmux('resize-window', '-x', '60', '-y', '15');
      await tmux('send-keys', 'terminal width 60', 'Enter', 'terminal length 14', 'Enter');
      await tmux('send-keys', 'clear', 'C-u', 'show links', 'Enter');
      const small = await sees(/gateway[\s\S]*RUN-Redundant#/);
      assert.ok(small.split('\n').every((line) => line.length <= 60));
      // A large block, without and with line ends: letters that do not fit are refused.
      await tmux('set-buffer', 'x'.repeat(8_000));
      await tmux('paste-buffer');
      await sees(/xxxx/);
      await tmux('send-keys', 'C-c');
      await sees(/\^C\n.*RUN-Redundant#/);
      await tmux('set-buffer', 'no such thing\n'.repeat(500));
      await tmux('paste-buffer');
      await sees(/makes no sense here/);
      await tmux('send-keys', 'C-c', 'C-u');
      await tmux('send-keys', 'monitor log', 'Enter');
      await sees(/Events as they come/);
      await tmux('send-keys', 'C-c');
      await tmux('send-keys', 'show alarms', 'Enter');
      await sees(/NOT acknowledged/);
      assert.equal(asked, []);
    } finally {
      await tmux('kill-server');
    }
  },
  LONG,
);

test.run();

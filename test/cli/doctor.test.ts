// `twinstep doctor` as a technician runs it: on a board with everything, on one with nothing, and with
// each single thing wrong. /sys comes from a folder of the test; line, disk and command are real.
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asText } from '../../firmware/cli/doctor.ts';
import { type DoctorOptions, runChecks } from '../../firmware/cli/doctor-checks.ts';
import { checkTranslator } from '../../firmware/cli/doctor-engine.ts';
import type { Finding } from '../../firmware/cli/doctor-finding.ts';
import { RoleRecordStore } from '../../watchdog/role-record-store.ts';
import { assert, repoPath, suite } from '../harness/index.ts';
import { PtyEnd } from '../watchdog/pty.ts';

const test = suite('cli/doctor');
let folder = '';
let far: PtyEnd;
let talk: NodeJS.Timeout;

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-doctor-'));
  far = new PtyEnd();
  talk = setInterval(() => far.write(Uint8Array.of(0)), 20);
});
test.after.each(() => {
  clearInterval(talk);
  far.close();
  rmSync(folder, { recursive: true, force: true });
});

function put(path: string, text: string): void {
  const whole = join(folder, path);
  mkdirSync(join(whole, '..'), { recursive: true });
  writeFileSync(whole, text);
}

/** A board on which all is well, but for the gateway, which needs a real network. */
function goodBoard(): DoctorOptions {
  for (const [nic, chip] of [
    ['log0', '0000:01:00.0'],
    ['front0', '0000:02:00.0'],
  ]) {
    for (const [name, text] of Object.entries({
      operstate: 'up',
      carrier: '1',
      speed: '1000',
      mtu: '9000',
    })) {
      put(`sys/class/net/${nic}/${name}`, `${text}\n`);
    }
    mkdirSync(join(folder, `sys/devices/${chip}`), { recursive: true });
    symlinkSync(join(folder, `sys/devices/${chip}`), join(folder, `sys/class/net/${nic}/device`));
  }
  const dog = { identity: 'iTCO_wdt', timeout: '30', bootstatus: '0', nowayout: '1' };
  for (const [name, text] of Object.entries(dog))
    put(`sys/class/watchdog/watchdog0/${name}`, `${text}\n`);
  put('dev/watchdog', '');
  put('proc/self/status', 'Name:\tx\nCapEff:\t000001ffffffffff\n');
  put('key', 'k'.repeat(32));
  chmodSync(join(folder, 'key'), 0o600);
  const store = new RoleRecordStore(join(folder, 'state'));
  store.load(1);
  store.write({ generation: 2, standing: 'sole' });
  return {
    state: join(folder, 'state'),
    key: join(folder, 'key'),
    serial: far.slavePath,
    baud: 115200,
    log: 'log0',
    front: 'front0',
    gateway: undefined,
    watchdog: join(folder, 'dev/watchdog'),
    sys: join(folder, 'sys'),
    proc: join(folder, 'proc'),
    watchMs: 100,
  };
}

async function verdicts(options: DoctorOptions): Promise<Map<string, Finding>> {
  const rank = { ok: 0, warn: 1, fail: 2 };
  const worst = new Map<string, Finding>();
  for (const finding of await runChecks(options)) {
    const before = worst.get(finding.area);
    if (before === undefined || rank[finding.verdict] > rank[before.verdict])
      worst.set(finding.area, finding);
  }
  return worst;
}

test('a good board: every area has a verdict, nothing fails', async () => {
  const found = await verdicts(goodBoard());
  for (const area of [
    'role record',
    'disk',
    'pairing key',
    'serial line',
    'log link',
    'front LAN',
    'independence',
    'witness',
    'watchdog',
    'scheduling',
    'limits',
  ]) {
    assert.ok(found.has(area), area);
    assert.is.not(found.get(area)?.verdict, 'fail', `${area}: ${found.get(area)?.found}`);
  }
  assert.match(found.get('serial line')?.found ?? '', /bytes heard.*no modem lines/);
  assert.match(found.get('role record')?.found ?? '', /generation 2, sole/);
});

const WRONGS: [string, string, RegExp, (options: DoctorOptions) => DoctorOptions][] = [
  [
    'no state folder',
    'role record',
    /does not exist/,
    (o) => ({ ...o, state: join(folder, 'no') }),
  ],
  [
    'a damaged role record',
    'role record',
    /damaged/,
    (o) => {
      put('state/role-record.0', 'rubbish');
      return o;
    },
  ],
  [
    'a short key',
    'pairing key',
    /5 bytes/,
    (o) => {
      put('key', 'short');
      return o;
    },
  ],
  [
    'a key others can read',
    'pairing key',
    /by others/,
    (o) => {
      chmodSync(join(folder, 'key'), 0o644);
      return o;
    },
  ],
  [
    'no serial port',
    'serial line',
    /does not exist/,
    (o) => ({ ...o, serial: '/dev/no-such-tty' }),
  ],
  [
    'a port that is a file',
    'serial line',
    /does not open/,
    (o) => ({ ...o, serial: join(folder, 'key') }),
  ],
  [
    'no carrier',
    'log link',
    /no carrier/,
    (o) => {
      put('sys/class/net/log0/carrier', '0');
      return o;
    },
  ],
  [
    'frames too small for the log',
    'log link',
    /MTU 1000/,
    (o) => {
      put('sys/class/net/log0/mtu', '1000');
      return o;
    },
  ],
  [
    'an interface that is not there',
    'front LAN',
    /eth9 does not exist/,
    (o) => ({ ...o, front: 'eth9' }),
  ],
  ['one interface for both', 'independence', /one interface/, (o) => ({ ...o, front: 'log0' })],
  [
    'no right to raw frames',
    'log link',
    /raw frames/,
    (o) => {
      put('proc/self/status', 'CapEff:\t0000000000000000\n');
      return o;
    },
  ],
  ['no watchdog', 'watchdog', /does not exist/, (o) => ({ ...o, watchdog: join(folder, 'none') })],
  ['nothing named at all', 'serial line', /no port named/, (o) => ({ ...o, serial: undefined })],
];

for (const [name, area, words, break_] of WRONGS) {
  test(`${name}: fails in words, and says what to do`, async () => {
    const finding = (await verdicts(break_(goodBoard()))).get(area);
    assert.is(finding?.verdict, 'fail');
    assert.match(finding?.found ?? '', words);
    assert.ok((finding?.todo ?? '').length > 5);
  });
}

test('what is not broken but worth a word: slow link, one chip, soft watchdog, a reset, silence', async () => {
  const options = goodBoard();
  put('sys/class/net/log0/speed', '100');
  rmSync(join(folder, 'sys/class/net/front0/device'));
  symlinkSync(
    join(folder, 'sys/devices/0000:01:00.0'),
    join(folder, 'sys/class/net/front0/device'),
  );
  put('sys/class/watchdog/watchdog0/identity', 'Software Watchdog');
  put('sys/class/watchdog/watchdog0/bootstatus', '32');
  clearInterval(talk);
  const findings = await runChecks(options);
  const warned = (words: RegExp) =>
    findings.some((f) => f.verdict === 'warn' && words.test(f.found));
  for (const words of [
    /100 Mbit/,
    /one chip/,
    /Software/,
    /reset by the watchdog/,
    /nothing heard/,
    /no gateway/,
  ]) {
    assert.ok(warned(words), String(words));
  }
});

test('a host that gives no executable memory is told, with what it costs and what to do', () => {
  const { verdict, found, todo } = checkTranslator('this host refuses executable memory');
  assert.is(verdict, 'warn');
  assert.match(found, /interpreted, as exact and several times slower: this host refuses/);
  assert.match(todo, /executable memory/);
});

test('the text has a line for each finding and a sum', () => {
  const text = asText([
    { area: 'disk', verdict: 'ok', found: 'fast', todo: '' },
    { area: 'witness', verdict: 'fail', found: 'silent', todo: 'plug it in' },
  ]);
  assert.match(
    text,
    /ok {4}disk +fast\nFAIL {2}witness +silent\n +to do: plug it in\n\n1 ok, 0 warnings, 1 failed/,
  );
});

/** Runs the command; a child of its own, because the far end of the line must go on talking. */
async function command(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const child = spawn(process.execPath, [
    repoPath('dist/firmware/cli/twinstep.js'),
    'doctor',
    ...args,
  ]);
  let [out, err] = ['', ''];
  child.stdout.on('data', (bytes) => {
    out += bytes;
  });
  child.stderr.on('data', (bytes) => {
    err += bytes;
  });
  const status = await new Promise<number>((resolve) =>
    child.once('close', (code) => resolve(code ?? -1)),
  );
  return { status, out, err };
}

test(
  'the command: text, --json, --help, and what it does not understand',
  async () => {
    goodBoard();
    const state = join(folder, 'state');
    const text = await command('--state', state, '--serial', far.slavePath, '--log', 'lo');
    assert.is(text.status, 1, text.err);
    assert.match(text.out, /ok {4}role record/);
    assert.match(text.out, /FAIL {2}front LAN/);
    const json = await command('--json', '--state', state);
    const findings = JSON.parse(json.out) as Finding[];
    assert.ok(findings.every(({ area, verdict, found }) => area && verdict && found));
    assert.is((await command('--help')).status, 0);
    for (const args of [['--no-such'], ['--baud', 'fast']]) {
      const wrong = await command(...args);
      assert.is(wrong.status, 2);
      assert.match(wrong.err, /doctor/);
    }
  },
  { timeoutMs: 20_000 },
);

test.run();

// The wall clock: what the kernel says, what the appliance's ntpd left behind (by its own script), which
// daemon there is, and what the tools of daemons print.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  answerCountsMs,
  CLOCK_SOURCES,
  type ClockSources,
  isSet,
  readClock,
} from '../../firmware/host/clock.ts';
import { askTimeTools, TIME_TOOLS } from '../../firmware/host/time-tools.ts';
import { kernelClock, watchdog as native } from '../../native/index.ts';
import { assert, repoPath, suite } from '../harness/index.ts';

const test = suite('host/clock');
const OVERLAY = 'buildroot/board/twinstep/rootfs-overlay';
const SCRIPT = repoPath(`${OVERLAY}/usr/libexec/twinstep/clock-told`);
let folder = '';

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-clock-'));
});
test.after.each(() => rmSync(folder, { recursive: true }));

const UNKNOWN = {
  ...{ maxErrorUs: 16_000_000, estimatedErrorUs: 16_000_000, offsetUs: 0 },
  isUnsynchronised: true,
};

function sources(change: Partial<ClockSources> = {}): ClockSources {
  return {
    serversFile: join(folder, 'ntp-servers'),
    answerFile: join(folder, 'answer'),
    footprints: [],
    kernel: () => UNKNOWN,
    bootMs: () => native.bootClockMs(),
    ...change,
  };
}

/** As ntpd calls it. */
function told(event: string, env: Readonly<Record<string, string>>): void {
  execFileSync('sh', [SCRIPT, event], { env: { ...process.env, CLOCK_FOLDER: folder, ...env } });
}

test('this kernel says how right its clock is, without any right', async () => {
  const state = kernelClock();
  assert.ok(state.maxErrorUs >= 0 && state.maxErrorUs <= 16_000_000);
  assert.type(state.isUnsynchronised, 'boolean');
  const { kernel } = await readClock();
  assert.is(kernel?.isSynchronised, state.maxErrorUs < 16_000_000);
});

test('the kernel knows by its maximum error, not by the flag that chrony leaves on', async () => {
  const chrony = { maxErrorUs: 9_776, estimatedErrorUs: 120, offsetUs: -5, isUnsynchronised: true };
  const facts = await readClock(sources({ kernel: () => chrony }));
  assert.equal(facts, {
    kernel: { isSynchronised: true, maxErrorMs: 9.776, estimatedErrorMs: 0.12, offsetMs: -0.005 },
    service: null,
  });
  assert.ok(isSet(facts));
  assert.not.ok(isSet(await readClock(sources())));
  const refused = () => {
    throw new Error('not here');
  };
  const nothing = await readClock(sources({ kernel: refused }));
  assert.equal(nothing, { kernel: null, service: null });
});

test('what ntpd says by its script is read back: followed, lost, old', async () => {
  assert.is((await readClock(sources())).service, null, 'no servers are configured');
  writeFileSync(join(folder, 'ntp-servers'), '192.168.10.1 192.168.10.4\n');
  const none = await readClock(sources());
  assert.equal(none.service, {
    ...{ by: 'ntpd', servers: ['192.168.10.1', '192.168.10.4'], answer: null },
  });
  told('stratum', { stratum: '3', offset: '-0.001250', poll_interval: '64' });
  const facts = await readClock(sources());
  const answer = facts.service?.answer;
  assert.ok(answer != null && answer.agoMs < 10_000, `${answer?.agoMs} ms ago`);
  assert.equal(
    { ...answer, agoMs: 0 },
    {
      ...{ agoMs: 0, event: 'stratum', stratum: 3, offsetMs: -1.25, pollS: 64 },
    },
  );
  assert.ok(isSet(facts), 'although the kernel knows of nobody');
  const later = (ms: number) => sources({ bootMs: () => native.bootClockMs() + ms });
  assert.ok(isSet(await readClock(later(answerCountsMs(answer!) - 20_000))));
  assert.not.ok(isSet(await readClock(later(answerCountsMs(answer!) + 1))), 'ntpd has died');
  told('unsync', { stratum: '16', offset: '0.000000', poll_interval: '32' });
  assert.not.ok(isSet(await readClock(sources())));
  for (const broken of ['', 'uptime=\nstratum=\n', 'event=step\nuptime=x\n', '\0\xff'.repeat(99)]) {
    writeFileSync(join(folder, 'answer'), broken);
    assert.is((await readClock(sources())).service?.answer, null);
  }
});

test('the script leaves its word whole, where the board looks, and ntpd is told of it', () => {
  told('step', { stratum: '16', offset: '3.5', poll_interval: '32' });
  assert.match(
    readFileSync(join(folder, 'answer'), 'utf8'),
    /^event=step\nuptime=[\d.]+\nstratum=16\n/,
  );
  const init = readFileSync(repoPath(`${OVERLAY}/etc/init.d/S49ntpd`), 'utf8');
  assert.match(init, '-S /usr/libexec/twinstep/clock-told');
  assert.match(init, `SERVERS="${CLOCK_SOURCES.serversFile}"`);
  assert.is(CLOCK_SOURCES.answerFile, '/run/twinstep/clock/answer');
  assert.match(init, 'TOLD="/run/twinstep/clock"');
  assert.match(readFileSync(SCRIPT, 'utf8'), /CLOCK_FOLDER:-\/run\/twinstep\/clock\}/);
});

test('a daemon is seen by what it leaves in /run', async () => {
  mkdirSync(join(folder, 'timesync'));
  const footprints = [
    [join(folder, 'chronyd.pid'), 'chrony'],
    [join(folder, 'timesync'), 'systemd-timesyncd'],
  ] as const;
  const { service } = await readClock(sources({ footprints }));
  assert.equal(service, { by: 'systemd-timesyncd', servers: [], answer: null });
});

const NOW_MS = 1_622_464_300_000;
const CHRONY =
  'A29FC801,162.159.200.1,4,1622464262.125000000,-0.000021,0.001250000,0.0021,-13.1,0.01,0.2,0.018,0.001,64.2,Normal\n';
const CHRONY_NOT =
  '00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,1.000000000,0.0,Not synchronised\n';
const TIMESYNC = `       Server: 91.189.89.198 (ntp.example.com)
Poll interval: 34min 8s (min: 32s; max 34min 8s)
         Leap: normal
      Version: 4
      Stratum: 2
    Reference: 11FD227B
    Precision: 1us (-23)
Root distance: 1.525ms (max: 5s)
       Offset: -1.210ms
        Delay: 36.1ms
       Jitter: 1.6ms
 Packet count: 7
`;
const NTPQ = `associd=0 status=0615 leap_none, sync_ntp, 1 event, clock_sync,
version="ntpd 4.2.8p15@1.3728-o", processor="x86_64", system="Linux/6.1",
leap=00, stratum=3, precision=-24, rootdelay=12.451, rootdisp=20.112,
refid=192.168.1.1, reftime=e45f3a2b.1c9b8f5a  Fri, Jun  4 2021, clock=e45f3b0c,
peer=51234, tc=6, mintc=3, offset=0.123456, frequency=-13.1, sys_jitter=0.2
`;

test('what the tools of daemons print, of one that follows a server and one that does not', () => {
  const [chrony, timesync, ntpq] = TIME_TOOLS.map(
    ({ read }) =>
      (text: string) =>
        read(text, NOW_MS),
  );
  assert.equal(chrony?.(CHRONY), {
    ...{
      server: '162.159.200.1',
      stratum: 4,
      offsetMs: 1.25,
      agoMs: NOW_MS - 1_622_464_262_125,
    },
  });
  const nobody = { server: null, stratum: null, offsetMs: null, agoMs: null };
  assert.equal(chrony?.(CHRONY_NOT), nobody);
  assert.equal(timesync?.(TIMESYNC), {
    ...{ server: '91.189.89.198 (ntp.example.com)', stratum: 2, offsetMs: -1.21, agoMs: null },
  });
  assert.equal(timesync?.(TIMESYNC.split('\n').slice(0, 2).join('\n')), nobody);
  assert.equal(ntpq?.(NTPQ), {
    ...{ server: '192.168.1.1', stratum: 3, offsetMs: 0.123456, agoMs: null },
  });
  const alone = NTPQ.replace('leap_none, sync_ntp', 'leap_alarm, sync_unspec').replace(
    '=3,',
    '=16,',
  );
  assert.equal(ntpq?.(alone), nobody);
  for (const read of [chrony, timesync, ntpq])
    for (const text of ['', 'no daemon\n', '\0'.repeat(1_000), ','.repeat(500)])
      assert.is(read?.(text), null, JSON.stringify(text.slice(0, 20)));
});

test('the first tool that answers is asked; one that fails, or hangs, is none', async () => {
  const path = process.env.PATH;
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const tool = (name: string, script: string) => {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  };
  try {
    process.env.PATH = bin;
    assert.is(await askTimeTools(NOW_MS), null, 'there is none');
    tool('chronyc', 'echo "506 Cannot talk to daemon"; exit 1');
    tool('timedatectl', `printf '%s' '${TIMESYNC}'`);
    assert.is((await askTimeTools(NOW_MS))?.tool, 'timedatectl');
    tool('chronyc', `printf '%s' '${CHRONY}'`);
    assert.is((await askTimeTools(NOW_MS))?.server, '162.159.200.1');
    tool('chronyc', 'exec /bin/sleep 60');
    assert.is((await askTimeTools(NOW_MS))?.tool, 'timedatectl', 'it does not wait for ever');
  } finally {
    process.env.PATH = path;
  }
});

test.run();

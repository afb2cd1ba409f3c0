// What the screens show: SCADA, the clock, the status of a healthy and of a sorry board; all in ASCII, none too wide.
import type { ClockStatus } from '../../firmware/board/clock-watch.ts';
import { logPaths } from '../../firmware/board/log-paths.ts';
import { redundancyOf } from '../../firmware/board/redundancy.ts';
import type { ScadaStatus, ServerReport, TellerReport } from '../../firmware/board/scada-desk.ts';
import type { Status } from '../../firmware/board/status.ts';
import { COMMANDS } from '../../firmware/console/commands.ts';
import type { TimeText } from '../../firmware/console/needs.ts';
import { guestScreen, linksScreen } from '../../firmware/console/screens.ts';
import { statusLines } from '../../firmware/console/status-screen.ts';
import { healthyStatus } from '../board/alarms/statuses.ts';
import { assert, suite } from '../harness/index.ts';
import { primary } from '../watchdog/arbiter-bench.ts';
import { Desk } from './desk.ts';
import { golden } from './screen.ts';

const test = suite('console/screens');

const ago = (ms: number, text: string) => ({ text, agoMs: ms });

function scadaStatus(change: Partial<ScadaStatus> = {}): ScadaStatus {
  const servers: ServerReport[] = [
    {
      url: 'mqtts://scada-one.plant.example:8883',
      state: 'lost',
      ...{ forMs: 192_000, connects: 1 },
      trouble: ago(
        12_000,
        'the broker’s certificate has expired, or the clock of this board is wrong',
      ),
    },
    {
      url: 'mqtts://10.0.0.9:8883',
      state: 'trying',
      ...{
        forMs: 191_000,
        connects: 0,
        trouble: ago(31_000, 'nobody listens there (ECONNREFUSED)'),
      },
    },
    {
      url: 'mqtts://10.0.0.10:8883',
      state: 'untried',
      ...{ forMs: 192_000, connects: 0, trouble: null },
    },
  ];
  const why = 'mqtts://scada-one.plant.example:8883: the broker’s certificate has expired';
  return {
    agent: 'speaks',
    ...{ saidMs: 400, isReached: false, unreachedMs: 182_000 },
    why: `Sparkplug: ${why}`,
    tellers: [
      {
        ...{ what: 'Sparkplug', clientId: 'press7ay69vpjo96pfm64l', isTold: false, why, at: 1 },
        ...{ servers, births: 2, sent: { what: 'NDATA', agoMs: 192_400 } },
        unsaved: '/data/twinstep/scada/mqtt.bdseq: no space is left on the disk',
      },
      {
        ...{
          what: 'status topic',
          clientId: 'press7a42zvmwuf5k581wc',
          isTold: true,
          why: null,
          at: 0,
        },
        servers: [{ ...servers[0]!, state: 'connected', forMs: 7_500_000, trouble: null }],
        ...{ births: 1, sent: { what: 'status', agoMs: 2_000 }, unsaved: null },
      },
    ],
    ...change,
  };
}

test('show scada: each server, since when, what went wrong, what was sent; and without an agent', () => {
  const desk = new Desk();
  const shows = (scada: ScadaStatus | null) => {
    desk.status = { ...healthyStatus(), scada };
    return desk.type('\x0cshow scada\r').screen.text;
  };
  desk.login();
  golden('scada-lost', shows(scadaStatus()));
  const none = { tellers: [], saidMs: null, isReached: false };
  const why = 'no agent (twinstep scada) has reported since the start of this board';
  assert.match(shows(scadaStatus({ ...none, agent: 'absent', why })), /agent +ABSENT/);
  assert.match(shows(scadaStatus({ agent: 'silent', saidMs: 61_000 })), 'SILENT for 1 min 1 s');
  assert.match(shows(null), 'no table [mqtt]');
  const [sparkplug, topic] = scadaStatus().tellers as [TellerReport, TellerReport];
  const reached = { isReached: true, unreachedMs: 0, why: null, tellers: [topic, topic] };
  assert.match(shows(scadaStatus(reached)), /SCADA +reached\n/);
  assert.ok(sparkplug.servers.length === 3 && desk.screen.widest <= 80);
  desk.status = { ...healthyStatus(), scada: scadaStatus() };
  desk.type('\x0cshow status\r');
  assert.match(desk.screen.text, /\nscada +NOT REACHED for 3 min 2 s: Sparkplug: mqtts:/);
  desk.status = { ...healthyStatus(), scada: scadaStatus(reached) };
  desk.type('\x0cshow status\r');
  assert.match(desk.screen.text, /\nscada +told at mqtts:\/\/scada-one.plant.example:8883\n/);
});

test('show time: who sets the clock, what was heard last, and what nobody says', () => {
  const desk = new Desk().login();
  const shows = (time: Partial<TimeText>, clock: ClockStatus | null = null) => {
    desk.time = { wallMs: Date.UTC(2026, 2, 1, 4, 5, 6), asked: null, ...NOTHING, ...time };
    desk.status = { ...healthyStatus(), clock };
    return desk.type('\x0cshow time\r').screen.text;
  };
  const NOTHING = { facts: { kernel: null, service: null } };
  const answer = { agoMs: 190_000, event: 'periodic', stratum: 3, offsetMs: -1.25, pollS: 512 };
  const service = { by: 'ntpd', servers: ['192.168.10.1', '192.168.10.4'], answer };
  const kernel = {
    ...{ isSynchronised: false, maxErrorMs: 16_000, estimatedErrorMs: 16_000, offsetMs: 0 },
  };
  golden('time-appliance', shows({ facts: { kernel, service } }));
  const lost = { ...service, answer: { ...answer, event: 'unsync', stratum: 16 } };
  const facts = { kernel, service: lost };
  const board = { ...facts, isSet: false, isExpected: true, unsetMs: 1_020_000 };
  const text = shows({ facts }, board);
  assert.match(text, /\nset +NOT by a time server, for 17 min 0 s\n/);
  assert.match(text, /\nlast word +3 min 10 s ago \(unsync\): NO SERVER ANSWERS\n/);
  const right = { ...kernel, isSynchronised: true, maxErrorMs: 23.4, estimatedErrorMs: 0.12 };
  const chrony = { by: 'chrony', servers: [], answer: null };
  const asked = { tool: 'chronyc', server: '10.0.0.1', stratum: 2, offsetMs: 0.031, agoMs: 64_000 };
  const server = shows({ facts: { kernel: right, service: chrony }, asked });
  assert.match(server, /\nset +by a time server\nby +chrony\nkernel +synchronised, right to 23 ms/);
  assert.match(
    server,
    /\nchronyc +follows 10.0.0.1, stratum 2, offset \+0.03 ms, heard 1 min 4 s ago/,
  );
  assert.match(shows({}), /\nset +by nobody\nby +nobody known/);
  desk.status = null;
  assert.match(desk.type('\x0cshow time\r').screen.text, /clock +2026-03-01 04:05:06 UTC/);
});

test('what is not survived is named, in step or not', () => {
  const desk = new Desk().login();
  const names = { here: 'press-7-a', there: 'press-7-b' };
  const { bench } = primary({ witness: 'none' });
  const redundancy = redundancyOf(bench.state, bench.nowMs, names);
  desk.status = { ...healthyStatus(), redundancy };
  const { text } = desk.type('\x0cshow status\r').screen;
  assert.match(
    text,
    /protection +REDUNDANT, for 2 h 5 min, but not survived: death of press-7-b \(no\s+witness/,
  );
  const all = desk.type('\x0cshow redundancy\r').screen.text;
  assert.match(
    all,
    /In step \(RUN-Redundant\); not survived: death of press-7-b \(no\s+witness\s+is/,
  );
  assert.match(all, /\nsurvived +death of press-7-a\n/);
  assert.match(all, /\nNOT +death of press-7-b: no witness is configured\n/);
  assert.match(all, /\nsurvived +loss of the log link\n/);
});

test('show status is one screen of 24 lines with its prompt, whatever is wrong', () => {
  const desk = new Desk().login();
  desk.type('\x0cshow status\r');
  golden('status-healthy', desk.screen.text);
  const status = healthyStatus();
  const sad = {
    ...status,
    role: 'solo',
    pairState: 'RUN-Solo',
    why: `the peer is silent on every path and ${'nobody knows why '.repeat(10)}`,
    safeToRemove: { ok: false, why: 'it serves alone: the guest would stop' },
    lagMs: null,
    disks: [{ path: '/dev/sda', trouble: 'EIO '.repeat(40) }],
    scada: scadaStatus(),
    alarms: Array.from({ length: 30 }, (_, n) => ({
      code: 'PATH-LOG',
      severity: 'error',
      text: `number ${n} ${'long '.repeat(30)}`,
      sinceMs: 0,
      count: 1,
      active: true,
      acked: null,
    })),
  } as const;
  const lines = statusLines(sad as unknown as typeof status);
  assert.ok(lines.length <= 23, `${lines.length} lines`);
  assert.ok(lines.every((line) => line.length <= 80 && /^[ -~]*$/.test(line)));
  assert.match(lines.at(-1)!, 'Do NOT switch off press-7-a: it serves alone');
  const sorry = new Desk();
  sorry.status = sad as unknown as typeof status;
  sorry.session.status = sorry.status;
  sorry.login().type('\x0csh st\r');
  golden('status-solo', sorry.screen.text);
});

test('each command is printed in ASCII, never wider than the screen', () => {
  for (const { words } of COMMANDS.filter(({ words }) => /^show|^help/.test(words))) {
    const desk = new Desk().login();
    desk.type(`terminal length 0\r${words.replace(/ [[<].*/, '')}\r`);
    assert.match(desk.screen.text, /RUN-Redundant# \n$|RUN-Redundant#\n$/);
  }
});

test('the guest’s clock is told against its line, now and at worst, and how well the other board’s is known', () => {
  const healthy = healthyStatus();
  const screen = (clock: Status['guest']['clock']) =>
    guestScreen({ ...healthy, guest: { ...healthy.guest, clock } });
  const led = screen({ offMs: -3.21, worstMs: 147.4, peerErrorMs: 0.004 });
  assert.match(led, /clock +3\.2 ms behind, at worst 147\.4 ms ahead; that of the other board/);
  assert.match(led, /known to 0\.1 ms$/m);
  const status = (offMs: number) =>
    statusLines({
      ...healthy,
      guest: { ...healthy.guest, clock: { ...healthy.guest.clock, offMs } },
    });
  assert.ok(status(-147.42).some((line) => /^guest .*, clock 147\.4 ms behind$/.test(line)));
  assert.not.ok(
    status(19).some((line) => /^guest .*clock/.test(line)),
    'no word of what is normal',
  );
  const followed = screen({ offMs: null, worstMs: 20, peerErrorMs: null });
  assert.match(
    followed,
    /clock +kept by the board that leads; that of the other board not known$/m,
  );
});

test('show guest: the engine, and why this one, on as many lines as it takes', () => {
  const healthy = healthyStatus();
  const why =
    'single steps are exact; RDTSC exits; not exact for Linux: nested paging (kvm_amd npt=Y): A bits';
  const engine = { kind: 'vtx-exits', why } as const;
  const screen = guestScreen({ ...healthy, guest: { ...healthy.guest, engine } });
  assert.match(screen, /^engine +hardware, positions at exits: single steps are exact;/m);
  assert.match(screen.replace(/\s+/g, ' '), why);
  const lines = screen.split('\n');
  const from = lines.findIndex((line) => line.startsWith('engine'));
  for (const line of lines.slice(from, from + 3)) assert.ok(line.length <= 80, line);
});

test('a card says what was dropped before the guest, and whose it was', () => {
  const healthy = healthyStatus();
  assert.match(guestScreen(healthy), /network +tap0, nothing dropped/);
  const flooded = {
    ...{ tap: 'tap0', groupDropped: 29_500, dropped: 30_000, droppedPerS: 29_500 },
    ...{ isStorm: true, source: '02:bd:00:00:00:07' },
  };
  const screen = guestScreen({ ...healthy, nets: [flooded] });
  assert.match(screen, /FLOODED, 29500 a second now; dropped 30000, 29500 of them broadcast/);
  assert.match(screen, /most from 02:bd:00:00:00:07/);
});

test('show links: each way of the log, its share, and what would happen if it went now', () => {
  const healthy = healthyStatus();
  const paths = logPaths([
    {
      ...{ name: 'eth1', trouble: null, hasCarrier: false, isActive: false, isLost: true },
      rttUs: 0,
      logBytes: 900,
    },
    {
      ...{ name: 'eth2', trouble: null, hasCarrier: true, isActive: true, isLost: false },
      rttUs: 81,
      logBytes: 100,
    },
    {
      ...{ name: 'the front LAN', trouble: null, hasCarrier: true, isActive: false, isLost: false },
      ...{ rttUs: 312, logBytes: 0 },
    },
  ]);
  const status = { ...healthy, link: { ...healthy.link, paths } };
  const lines = linksScreen(status).split('\n');
  assert.equal(
    lines.filter((line) => line.startsWith('  ')),
    [
      '  eth1            NO CARRIER            90 % of the log',
      '    if it went now: nothing changes',
      '  eth2            in use      81 us     10 % of the log',
      '    if it went now: the log goes on over the front LAN',
      '  the front LAN   ready       312 us    0 % of the log',
      '    if it went now: no other way is left for the log',
    ],
  );
  for (const line of lines) assert.ok(line.length <= 80, line);
  const row = statusLines(status).find((line) => line.startsWith('log link'));
  assert.match(row ?? '', 'ok, over eth2');
});

test.run();

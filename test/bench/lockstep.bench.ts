// What recording costs, how fast a replay runs, and how many bits a log takes, on an unmodified Linux;
// beside it QEMU's recorder on the same kernel, initrd and disk, and the figures VMware FT published.
//
// The sides take turns. What the recorder itself costs is measured in one thread, in CPU time, and holds on a
// shared machine too. Of whole processes CPU time and wall time are told: a guest that is starved ticks on in
// real time and so does more, so both mean something on a quiet machine only (the load average is printed).
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { assembled } from '../guest/linux-guest.ts';
import { needs, repoPath } from '../harness/index.ts';
import type { Comparison } from './frame.ts';
import {
  IDLE_SECONDS,
  type Recorder,
  Recorders,
  type Run,
  TRANSFER_BYTES,
  type Transfer,
} from './recorders.ts';

const ROUNDS = Number(process.env.TWINSTEP_BENCH_ROUNDS ?? '3');
/** Scales et al., SIGOPS OSR 44(4), 2010: section 5.1, and tables 1 and 2 as given in lecture notes. */
const VMWARE = {
  idleKbits: 500,
  jbbKbits: 1500,
  databaseKbits: 18_000,
  receive: 730 / 604,
} as const;

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const { guest, why } = assembled();
  if (guest === undefined) return { skipped: why };
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-bench-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const recorders = new Recorders(guest, folder);
  const peers: Recorder[] = needs.command('qemu-system-x86_64').met ? ['qemu'] : [];
  console.log(`lockstep: load average ${load()} at the start`);
  const all = [
    recorderAlone(),
    ...speed(recorders, peers),
    ...(await idle(recorders, peers)),
    ...work(recorders, peers),
    ...(await network(recorders, peers)),
  ];
  console.log(`lockstep: load average ${load()} at the end`);
  return all;
}

/** In one thread at one schedule of slices: what no other load and no second thread can blur. */
function recorderAlone(): Comparison {
  const program = repoPath('dist/test/bench/recording-cost.js');
  const { status, stdout } = spawnSync(process.execPath, [program, String(ROUNDS)], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`recording-cost ended with ${status}`);
  const seconds = JSON.parse(stdout) as { plain: number[]; recorded: number[] };
  const perHour = (values: number[]) => values.map((value) => 3600 / value);
  return {
    name: 'recording: the same guest in one thread, recorded against plain (goal 0.97), CPU time',
    unit: 'runs an hour',
    better: 'higher',
    rounds: ROUNDS,
    ours: played('recorder', perHour(seconds.recorded)),
    peer: played('machine alone', perHour(seconds.plain)),
  };
}

const load = (): string =>
  loadavg()
    .map((value) => value.toFixed(1))
    .join(' ');

/** Plain, recorded, replayed and the peer, in turns: forwards, then backwards. */
function speed(recorders: Recorders, peers: Recorder[]): Comparison[] {
  const runs = { plain: [] as Run[], record: [] as Run[], replay: [] as Run[], qemu: [] as Run[] };
  for (let round = 0; round < ROUNDS; round++) {
    const steps: (() => unknown)[] = [
      () => runs.plain.push(recorders.plain('bench')),
      () => {
        runs.record.push(recorders.record('bench'));
        runs.replay.push(recorders.replay());
      },
      ...peers.map(() => () => runs.qemu.push(recorders.record('bench', 'qemu'))),
    ];
    for (const step of round % 2 === 0 ? steps : steps.reverse()) step();
  }
  const pairs = [
    ['recording: throughput of the guest, recorded against plain (goal 0.97)', 'record', 'plain'],
    ['replay: speed, replayed against recorded (goal 1)', 'replay', 'record'],
    ['engine: Debian boot and shell benchmark, against another recorder', 'record', 'qemu'],
  ] as const;
  const names = {
    plain: 'twinstep guest',
    record: 'twinstep record',
    replay: 'twinstep replay',
    qemu: "QEMU's recorder",
  };
  return pairs
    .filter(([, ours, peer]) => runs[ours].length > 0 && runs[peer].length > 0)
    .flatMap(([name, ours, peer]) =>
      (['cpuSeconds', 'seconds'] as const).map((field) => ({
        name: `${name}, ${field === 'seconds' ? 'wall' : 'CPU'} time`,
        unit: 'runs an hour',
        better: 'higher' as const,
        rounds: ROUNDS,
        ours: played(
          names[ours],
          runs[ours].map((run) => 3600 / run[field]),
        ),
        peer: played(
          names[peer],
          runs[peer].map((run) => 3600 / run[field]),
        ),
      })),
    );
}

async function idle(recorders: Recorders, peers: Recorder[]): Promise<Comparison[]> {
  const name = `log of an idle guest, ${IDLE_SECONDS} s asleep (goal below 50)`;
  const ours = [await recorders.idleKbits('twinstep')];
  const lists: [string, number[]][] = [['VMware FT, published (500 to 1,500)', [VMWARE.idleKbits]]];
  for (const peer of peers) lists.push(["QEMU's recorder", [await recorders.idleKbits(peer)]]);
  return lists.map(([peer, values]) => rate(name, 'kbit/s', ours, peer, values));
}

/** Boot included; guest time is what the guest's own clock says. */
function work(recorders: Recorders, peers: Recorder[]): Comparison[] {
  const kbits = ({ logBytes, guestSeconds }: Run) => (logBytes * 8) / 1000 / guestSeconds;
  const kinds = [
    ['bench', 'CPU-bound', 'VMware FT, SPECjbb2005, published', VMWARE.jbbKbits],
    ['disk', 'disk', 'VMware FT, MS-SQL DVD Store, published', VMWARE.databaseKbits],
  ] as const;
  return kinds.flatMap(([script, what, published, value]) => {
    const name = `log of a ${what} guest, boot included`;
    const ours = [kbits(recorders.record(script))];
    return [
      ...peers.map((peer) =>
        rate(name, 'kbit/s', ours, "QEMU's recorder", [kbits(recorders.record(script, peer))]),
      ),
      rate(name, 'kbit/s', ours, `${published} (another workload)`, [value]),
    ];
  });
}

async function network(recorders: Recorders, peers: Recorder[]): Promise<Comparison[]> {
  if (!needs.networkNamespaces().met || !needs.device('/dev/net/tun').met) {
    console.log('lockstep: network guests skipped: needs network namespaces and TAP');
    return [];
  }
  const ours = await recorders.transfer('twinstep');
  const receive = (one: Transfer) => [one.receiveLogBytes / TRANSFER_BYTES];
  const send = (one: Transfer) => [one.sendLogBytes / TRANSFER_BYTES];
  const mbits = (seconds: number) => [(TRANSFER_BYTES * 8) / 1e6 / seconds];
  const megabytes = TRANSFER_BYTES >> 20;
  const name = (verb: string) => `log of a network guest that ${verb} ${megabytes} MiB over TCP`;
  const unit = 'bytes of log a byte';
  const own = [
    rate(name('receives'), unit, receive(ours), 'VMware FT, netperf, published', [VMWARE.receive]),
  ];
  for (const peer of peers) {
    const theirs = await recorders.transfer(peer);
    const [a, b] = [mbits(ours.receiveSeconds), mbits(theirs.receiveSeconds)];
    const [c, d] = [mbits(ours.sendSeconds), mbits(theirs.sendSeconds)];
    const qemu = "QEMU's recorder";
    own.push(
      rate(name('receives'), unit, receive(ours), qemu, receive(theirs)),
      rate(name('sends'), unit, send(ours), qemu, send(theirs)),
      { ...rate('TCP to a recorded guest, wall time', 'Mbit/s', a, qemu, b), better: 'higher' },
      { ...rate('TCP from a recorded guest, wall time', 'Mbit/s', c, qemu, d), better: 'higher' },
    );
  }
  return own;
}

function rate(
  name: string,
  unit: string,
  ours: number[],
  peer: string,
  theirs: number[],
): Comparison {
  return {
    name,
    unit,
    better: 'lower',
    rounds: ours.length,
    ours: played('twinstep record', ours),
    peer: played(peer, theirs),
  };
}

/** A contestant whose rounds were run already, in turns with more than one other. */
function played(name: string, values: readonly number[]) {
  let next = 0;
  return { name, run: () => values[next++] as number };
}

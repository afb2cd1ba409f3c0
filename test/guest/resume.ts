// A program: replays the first ENTRIES entries of a log, goes live there, and lets the guest live on with
// console, network and serial lines until SIGTERM. Then it writes a log of the whole life: the prefix and
// what came after. What the twin will do on a dying primary, with a file for a link.
import { readFileSync, writeFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SerialPortName } from '../../firmware/devices/contracts.ts';
import { Backends } from '../../firmware/host/backends.ts';
import { Replay } from '../../firmware/host/replay.ts';
import { VcpuLoop } from '../../firmware/host/vcpu/loop.ts';
import { Outbox } from '../../firmware/host/vcpu/outbox.ts';
import { identityFrom } from '../../firmware/lockstep/guest-identity.ts';
import { LogReader, LogWriter, logSummary } from '../../firmware/lockstep/log-file.ts';
import { Pacer } from '../../firmware/lockstep/pacer.ts';

export interface ResumeJob {
  log: string;
  /** How many of its entries. */
  entries: number;
  kernel: string;
  initrd: string;
  disk: string;
  tap: string;
  /** Sockets for the second card and two serial lines. */
  cable: string;
  com2: string;
  console: string;
  newLog: string;
}

const DIGEST_INTERVAL_NS = 250_000_000n;
const PORTS: readonly SerialPortName[] = ['com1', 'com2', 'console'];
const realNs = () => process.hrtime.bigint();

async function main(job: ResumeJob): Promise<void> {
  const reader = new LogReader();
  const entries = reader.push(readFileSync(job.log)).slice(0, job.entries);
  const identity = identityFrom(reader.identity ?? {});
  if (identity === undefined) throw new Error('not a log');
  const files = {
    kernel: readFileSync(job.kernel),
    initrd: readFileSync(job.initrd),
    disks: [job.disk],
  };
  const replay = new Replay({ identity, files, onOutput: () => {} });
  replay.start();
  replay.push(entries);
  const progress = replay.run();
  if (progress !== 'waiting') throw new Error(`the prefix ends with ${progress}`);
  const log = new LogWriter(reader.identity ?? {});
  for (const entry of entries) log.append(entry);
  await live(replay, log, job);
  const { disks } = replay.end('ended');
  writeFileSync(job.newLog, Buffer.concat([log.take(), logSummary({ disks })]));
}

async function live(replay: Replay, log: LogWriter, job: ResumeJob): Promise<void> {
  const outbox = new Outbox();
  const { recorder, completions } = replay.goLive({
    append: (entry) => log.append(entry),
    onOutput: (output, sequence) => outbox.add(output, sequence),
  });
  const { machine } = replay;
  const now = { virtualNs: machine.nowNs(), position: machine.position };
  const pacer = new Pacer({ realNs: realNs(), ...now, multiplier: machine.multiplier });
  const digestIntervalNs = DIGEST_INTERVAL_NS;
  const loop = new VcpuLoop({ machine, recorder, pacer, realNs, digestIntervalNs });
  let isLeaving = false;
  let wake = () => {};
  process.once('SIGTERM', () => {
    isLeaving = true;
    wake();
  });
  const held: Record<SerialPortName, number> = { com1: 0, com2: 0, console: 0 };
  const backends = await openBackends(job, (inputs) => {
    for (const input of inputs) {
      loop.push(input);
      if (input.kind === 'serial-rx') held[input.port] += input.bytes.length;
    }
    wake();
  });
  backends.start();
  process.stderr.write('live\n');
  while (!isLeaving) {
    for (const completion of completions()) loop.push(completion);
    const next = loop.step();
    backends.deliver(outbox.take().outputs);
    for (const port of PORTS) {
      const bytes = loop.heldBytes(port);
      if (bytes < held[port]) backends.serialTaken(port, held[port] - bytes);
      held[port] = bytes;
    }
    if (next.kind === 'stopped') break;
    if (next.kind === 'sleep') await until(next.untilRealNs, (early) => (wake = early));
    else await nextTurn();
  }
  recorder.writeDigest();
  recorder.end();
  await backends.close();
}

function openBackends(job: ResumeJob, onInputs: Parameters<typeof Backends.open>[1]['onInputs']) {
  const mac = new Uint8Array(6);
  const spec = {
    disks: [],
    nets: [
      { kind: 'tap' as const, name: job.tap, mac },
      { kind: 'socket' as const, path: job.cable, mac },
    ],
    serial: {
      com1: { kind: 'stdio' as const },
      com2: { kind: 'socket' as const, path: job.com2 },
      console: { kind: 'socket' as const, path: job.console },
    },
  };
  return Backends.open(spec, { onInputs, onLeave: () => {}, onNotice: () => {} });
}

/** That moment, or earlier when `wake` is called. */
async function until(ns: bigint | undefined, give: (wake: () => void) => void): Promise<void> {
  await new Promise<void>((resolve) => {
    const ms = ns === undefined ? 1000 : Math.max(0, Number(ns - realNs()) / 1e6);
    const timer = setTimeout(resolve, Math.min(1000, ms));
    give(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

await main(JSON.parse(process.argv[2] ?? '{}') as ResumeJob);

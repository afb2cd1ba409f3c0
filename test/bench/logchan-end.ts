// One end of the log channel as a program of its own, for the benches.
//   logchan-end IFACE sink                    takes everything; prints its CPU time when left
//   logchan-end IFACE commit COUNT BYTES      urgent entries one after the other; latency
//   logchan-end IFACE send LANE MIB BYTES     as fast as it goes; throughput
//   logchan-end IFACE echo | ping COUNT BYTES the bare port without the channel, as packet-ping does
import { Channel, type ChannelHandler } from '../../logchan/channel.ts';
import { RingPort } from '../../logchan/ring-port.ts';
import { LANE, LANES, type Lane } from '../../logchan/sections.ts';
import { quantile } from './frame.ts';

const [interfaceName = '', mode, ...numbers] = process.argv.slice(2);
const [first = 0, second = 0, third = 0] = numbers.map(Number);
const port = new RingPort({ interface: interfaceName });
const nowUs = () => performance.now() * 1000;
const print = (result: object) => console.log(JSON.stringify(result));

function makeChannel(handler: ChannelHandler): Channel {
  const channel = new Channel({
    pairingKey: new Uint8Array(32).fill(1),
    cluster: 'bench',
    paths: [{ port }],
    handler,
  });
  channel.start();
  return channel;
}

function cpuUs(since?: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return user + system;
}

/** The compiler of the runtime is at work for the first few thousand; a board runs for months. */
const WARM_UP_SHARE = 0.4;

/** What every mode prints of latencies. */
function printLatencies(took: number[]): void {
  const measured = took.slice(Math.floor(took.length * WARM_UP_SHARE));
  print({ p50: quantile(measured, 0.5), p99: quantile(measured, 0.99) });
}

function sink(): void {
  let started: NodeJS.CpuUsage | undefined;
  const channel = makeChannel({
    readable: () => {
      started ??= process.cpuUsage();
      for (const lane of LANES) while (channel.take(lane) !== undefined);
    },
    event: ({ type }) => {
      if (type !== 'down') return;
      print({ cpuUs: cpuUs(started) });
      channel.stop();
    },
  });
  process.stderr.write('ready\n');
}

function commit(count: number, bytes: number): void {
  const entry = new Uint8Array(bytes);
  const took: number[] = [];
  let startUs = 0;
  const next = () => {
    startUs = nowUs();
    channel.append(entry, { urgent: true });
  };
  const channel = makeChannel({
    acked: () => {
      took.push(nowUs() - startUs);
      // From a turn of its own, as an output of the guest would come.
      if (took.length < count) setImmediate(next);
      else {
        printLatencies(took);
        channel.stop();
      }
    },
    event: (event) => {
      // The path's size is known a moment later; only then does it start.
      if (event.type === 'path') setTimeout(next, 50);
    },
  });
}

function send(lane: Lane, mib: number, bytes: number): void {
  const entry = new Uint8Array(bytes);
  const total = Math.ceil((mib * 2 ** 20) / bytes);
  let appended = 0;
  let startUs = 0;
  let cpu: NodeJS.CpuUsage;
  const fill = () => {
    while (appended < total && channel.fits(bytes, lane)) {
      appended =
        lane === LANE.log ? channel.append(entry, { urgent: false }) : channel.appendBulk(entry);
    }
  };
  const acked = (through: number) => {
    if (through < total) fill();
    else {
      print({ bytes: total * bytes, us: nowUs() - startUs, cpuUs: cpuUs(cpu), ...channel.state() });
      channel.stop();
    }
  };
  const channel = makeChannel({
    ...(lane === LANE.log ? { acked } : { bulkAcked: acked }),
    event: (event) => {
      if (event.type !== 'path' || startUs > 0) return;
      startUs = nowUs();
      cpu = process.cpuUsage();
      fill();
    },
  });
}

function echo(): void {
  port.start({
    frame: (bytes, start, end) => {
      const slot = port.slot();
      slot?.set(bytes.subarray(start, end));
      port.queue(end - start);
    },
    batchEnd: () => port.flush(),
    writable: () => {},
    link: () => {},
  });
  process.stderr.write('ready\n');
}

function ping(count: number, bytes: number): void {
  const took: number[] = [];
  let startUs = 0;
  const next = () => {
    startUs = nowUs();
    port.slot();
    port.queue(bytes);
    port.flush();
  };
  const arrived = () => {
    took.push(nowUs() - startUs);
    if (took.length < count) setImmediate(next);
    else {
      printLatencies(took);
      port.close();
    }
  };
  port.start({ frame: arrived, batchEnd: () => {}, writable: () => {}, link: () => {} });
  next();
}

if (mode === 'sink') sink();
else if (mode === 'commit') commit(first, second);
else if (mode === 'send') send(first === 0 ? LANE.log : LANE.bulk, second, third);
else if (mode === 'echo') echo();
else if (mode === 'ping') ping(first, second);
else throw new Error(`no such mode: ${mode}`);

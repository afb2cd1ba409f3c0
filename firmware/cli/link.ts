// `twinstep link`: a technician's test of the log link, run on both boards at once. Finds the peer,
// measures, and says in words what is wrong with the link, if anything is.
import { readFileSync } from 'node:fs';
import type { ChannelEvent } from '../../logchan/endpoint.ts';
import { IpPort } from '../../logchan/ip-port.ts';
import type { Port, PortCounters } from '../../logchan/port.ts';
import { DROP_REASONS, type DropReason } from '../../logchan/reasons.ts';
import { RingPort } from '../../logchan/ring-port.ts';
import { pairingKeyOf } from '../board/config/pairing-key.ts';
import { readArguments } from './arguments.ts';
import { LinkMeasure, type LinkMeasurement } from './link-measure.ts';
import { EXIT, UsageError } from './usage.ts';

const HELP = `usage: twinstep link IFACE [OPTIONS]          (on both boards at the same time)

  --peer MAC       only this board is the peer
  --ip ADDRESS     over IP protocol 253 to this address, where the link is routed
  --key FILE       pairing key; without it the boards are not authenticated
  --cluster NAME   as configured on both boards (default)
  --wait SECONDS   how long to look for the peer (20)
  --seconds N      how long to measure throughput (2)
  --json           for machines

Ends with 0 when the link is fit for use, 1 otherwise.
`;

/** For boards not yet paired. Anybody has this key: it only keeps the test going. */
const TEST_KEY = new Uint8Array(32);
const ROUND_TRIPS = 2000;

const REFUSALS = {
  version: 'a board with another firmware version calls: install the same on both',
  cluster: 'a board of another cluster calls: check the cable, or --cluster',
  key: 'a board with another pairing key calls: pair the two again, or give both the same --key',
} as const;

const PORT_WORDS: Record<keyof PortCounters, string> = {
  received: '',
  sent: '',
  overrun: 'frames lost because this board was too busy to take them',
  oversized: 'frames larger than this interface is set for',
  foreign: 'frames for or from other boards on the same segment',
  unsent: 'frames the interface refused to send',
};

export async function linkCommand(args: readonly string[]): Promise<number> {
  const options = parse(args);
  if (options === undefined) return EXIT.ok;
  const say = (line: string) => {
    if (!options.json) process.stdout.write(`${line}\n`);
  };
  const { interfaceName, ip, peer } = options;
  const port: Port =
    ip === undefined
      ? new RingPort({ interface: interfaceName, ...(peer === undefined ? {} : { peer }) })
      : new IpPort({ peer: ip, interface: interfaceName });
  if (options.keyFile === undefined) say('no --key: the boards are not authenticated');
  const measure = new LinkMeasure({
    port,
    pairingKey: options.keyFile === undefined ? TEST_KEY : readKey(options.keyFile),
    cluster: options.cluster,
    roundTrips: ROUND_TRIPS,
    throughputMs: options.seconds * 1000,
    onEvent: (event) => {
      const words = eventWords(event);
      if (words !== undefined) say(words);
    },
  });
  measure.start();
  say(`${port.name}: looking for the peer`);
  try {
    const failure = await waitForPeer(measure, options.waitSeconds);
    if (failure !== undefined) {
      process.stderr.write(`twinstep link: ${failure}\n`);
      return EXIT.failed;
    }
    const result = await measure.measurement();
    process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : report(result));
    return EXIT.ok;
  } catch (error) {
    process.stderr.write(`twinstep link: ${(error as Error).message}\n`);
    return EXIT.failed;
  } finally {
    measure.stop();
  }
}

function parse(args: readonly string[]) {
  const { values, positionals } = readArguments({ ...CONFIG, args: [...args] });
  if (values.help) {
    process.stdout.write(HELP);
    return undefined;
  }
  const [interfaceName, ...more] = positionals;
  if (interfaceName === undefined || more.length > 0) throw new UsageError('give one IFACE');
  const seconds = (text: string, name: string) => {
    const value = Number(text);
    if (!(value > 0 && value <= 3600)) throw new UsageError(`--${name} needs a number of seconds`);
    return value;
  };
  return {
    interfaceName,
    peer: values.peer,
    ip: values.ip,
    keyFile: values.key,
    cluster: values.cluster,
    waitSeconds: seconds(values.wait, 'wait'),
    seconds: seconds(values.seconds, 'seconds'),
    json: values.json,
  };
}

const CONFIG = {
  allowPositionals: true,
  options: {
    peer: { type: 'string' },
    ip: { type: 'string' },
    key: { type: 'string' },
    cluster: { type: 'string', default: 'default' },
    wait: { type: 'string', default: '20' },
    seconds: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
} as const;

function readKey(path: string): Uint8Array {
  let file: Uint8Array;
  try {
    file = readFileSync(path);
  } catch {
    throw new UsageError(`${path} cannot be read`);
  }
  return pairingKeyOf(file);
}

/** Why there is no peer, or undefined once there is one. */
async function waitForPeer(measure: LinkMeasure, seconds: number): Promise<string | undefined> {
  const until = performance.now() + seconds * 1000;
  while (!measure.isUp) {
    if (performance.now() > until) {
      const { linkUp, paths } = measure.state();
      if (!linkUp) return 'no link: plug the cable in, and switch the other board on';
      const received = paths[0]?.port.received ?? 0;
      return received === 0
        ? `nothing heard in ${seconds} s: is "twinstep link" running on the other board?`
        : `somebody is there (${received} frames), but it is not the peer`;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return undefined;
}

function eventWords(event: ChannelEvent): string | undefined {
  switch (event.type) {
    case 'up':
      return 'peer found';
    case 'refused':
      return `refused: ${REFUSALS[event.why]}`;
    case 'path':
      return event.frameBytes < event.portsFrameBytes
        ? `frames of ${event.frameBytes} bytes pass; both interfaces are set for ${event.portsFrameBytes}`
        : `frames of ${event.frameBytes} bytes pass`;
    case 'link':
      return event.up ? 'cable plugged in' : 'no link: cable pulled, or the other board is off';
    case 'silent':
      return 'the peer has gone silent';
    case 'heard':
      return `the peer is heard again after ${(event.silentUs / 1000).toFixed(0)} ms`;
    // Of one path, and said by the above; or of several, which are not tried here.
    case 'down':
    case 'joined':
    case 'path-lost':
    case 'path-back':
    case 'active':
      return undefined;
  }
}

function report(result: LinkMeasurement): string {
  const { roundTripUs, mibPerSecond, frameBytes, repeatedShare, state } = result;
  const us = (value: number) => `${value.toFixed(value < 100 ? 1 : 0)} us`;
  const mbit = ((mibPerSecond * 2 ** 20 * 8) / 1e6).toFixed(0);
  const lines = [
    `round trip   ${us(roundTripUs.p50)} (p50), ${us(roundTripUs.p99)} (p99), entry to acknowledgement`,
    `throughput   ${mibPerSecond.toFixed(1)} MiB/s (${mbit} Mbit/s), encrypted`,
    `frames       ${frameBytes} bytes`,
    `repeated     ${(repeatedShare * 100).toFixed(2)} % of the bytes, ${state.timeouts} time-outs`,
    ...troubles(result).map((trouble) => `trouble      ${trouble}`),
  ];
  return `${lines.join('\n')}\n`;
}

/** Whatever was counted, in words. */
function troubles({ state }: LinkMeasurement): string[] {
  const words: string[] = [];
  for (const [name, sentence] of Object.entries(PORT_WORDS)) {
    const count = state.paths[0]?.port[name as keyof PortCounters] ?? 0;
    if (sentence !== '' && count > 0) words.push(`${count} ${sentence}`);
  }
  for (const [reason, count] of Object.entries(state.drops)) {
    // Late answers and repeats belong to every start and every lost frame.
    if (count === 0 || reason === 'echo' || reason === 'session' || reason === 'duplicate')
      continue;
    words.push(`${count} × a frame that ${DROP_REASONS[reason as DropReason]}`);
  }
  return words;
}

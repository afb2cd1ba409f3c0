// The front LAN: heartbeats over real UDP on loopback, and the gateway asked by ARP across a real
// pair of interfaces between two network namespaces.
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { pathToFileURL } from 'node:url';
import type { Statement } from '../../watchdog/arbiter-types.ts';
import { FrontPath } from '../../watchdog/front-path.ts';
import { GatewayProbe } from '../../watchdog/gateway-probe.ts';
import { pathKeys, sealStatement } from '../../watchdog/path-frame.ts';
import { lastGaspOf } from '../../watchdog/statement-wire.ts';
import { assert, needs, repoPath, seededRandom, suite } from '../harness/index.ts';
import { until } from './pty.ts';

const test = suite('watchdog/front-path');
const KEY = new Uint8Array(32).fill(9);
const EXTRAS = { position: 3n, health: 0 };
const says = (seq: number): Statement => ({
  ...lastGaspOf(3, { generation: 1, standing: 'sole' }),
  role: 'solo',
  seq,
});
const LOCAL = '127.0.0.1';

function pair(): { a: FrontPath; b: FrontPath; heard: Statement[] } {
  const heard: Statement[] = [];
  const common = { bindAddress: LOCAL, bindPort: 0, peerAddress: LOCAL };
  const b = new FrontPath({
    ...common,
    keys: pathKeys(KEY, 'b'),
    peerPort: 9,
    onStatement: (statement) => heard.push(statement),
  });
  b.start();
  const a = new FrontPath({
    ...common,
    keys: pathKeys(KEY, 'a'),
    peerPort: b.port,
    onStatement: () => {},
  });
  a.start();
  return { a, b, heard };
}

test('statements arrive; replays, strangers, reflections and rubbish do not', async () => {
  const { a, b, heard } = pair();
  a.say(sealStatement(pathKeys(KEY, 'a'), says(1), EXTRAS));
  const hears = (count: number) => () => {
    b.hear();
    return heard.length === count;
  };
  await until('the first', hears(1));
  assert.equal(heard[0], says(1));
  const random = seededRandom('datagrams');
  const socket = createSocket('udp4');
  const send = (bytes: Uint8Array) =>
    new Promise<void>((resolve) => socket.send(bytes, b.port, LOCAL, () => resolve()));
  await send(sealStatement(pathKeys(KEY, 'a'), says(1), EXTRAS));
  await send(sealStatement(pathKeys(KEY, 'b'), says(2), EXTRAS));
  await send(sealStatement(pathKeys(new Uint8Array(32), 'a'), says(2), EXTRAS));
  for (let n = 0; n < 200; n++) await send(random.bytes(random.int(300)));
  a.say(sealStatement(pathKeys(KEY, 'a'), says(5), EXTRAS));
  await until('the last', hears(2));
  const { rejected } = b.reader;
  assert.is(rejected.replay, 1);
  assert.is(rejected.reflected, 1);
  assert.is(rejected.tag, 1);
  assert.is(
    Object.values(rejected).reduce((sum, n) => sum + n, 0),
    203,
  );
  socket.close();
  a.stop();
  b.stop();
  a.say(sealStatement(pathKeys(KEY, 'a'), says(6), EXTRAS));
});

test('a burst is heard in looks of bounded length, and a peer that is not there costs nothing', () => {
  const { a, b, heard } = pair();
  for (let seq = 1; seq <= 200; seq++) a.say(sealStatement(pathKeys(KEY, 'a'), says(seq), EXTRAS));
  let looks = 0;
  for (let before = -1; heard.length > before; looks++) {
    before = heard.length;
    b.hear();
  }
  assert.is(heard.length, 200);
  assert.is(looks, 5, 'four with something to hear');
  // Nobody listens on that port: the network says so to our socket, which still hears.
  b.say(Buffer.from('nobody'));
  b.hear();
  a.say(sealStatement(pathKeys(KEY, 'a'), says(201), EXTRAS));
  b.hear();
  assert.is(heard.length, 201);
  a.stop();
  b.stop();
  b.hear();
});

test('an address that is not ours is an error at start, not a silence', () => {
  const path = new FrontPath({
    keys: pathKeys(KEY, 'a'),
    bindAddress: '192.0.2.1',
    bindPort: 0,
    peerAddress: LOCAL,
    peerPort: 9,
    onStatement: () => {},
  });
  let code = '';
  try {
    path.start();
  } catch (error) {
    code = (error as NodeJS.ErrnoException).code ?? '';
  }
  assert.is(code, 'EADDRNOTAVAIL');
});

test('the probe asks, counts answers, and opens anew after the interface was gone', () => {
  let broken = false;
  let opens = 0;
  let waiting = 0;
  const calls = {
    arpOpen: () => {
      if (broken) throw Object.assign(new Error('ARP socket: No such device'), { code: 'ENODEV' });
      opens += 1;
      return 1_000_000;
    },
    arpAsk: () => {
      if (broken) throw new Error('ARP question: Network is down');
      waiting = 1;
      return 28;
    },
    arpAnswers: () => waiting,
  };
  const probe = new GatewayProbe({ interfaceName: 'x', gateway: '192.0.2.9', calls });
  probe.stop = () => Reflect.set(probe, 'fd', null);
  assert.is(probe.probe(), false);
  assert.is(probe.probe(), true);
  broken = true;
  assert.is(probe.probe(), false);
  assert.match(probe.trouble ?? '', /down/);
  assert.is(probe.probe(), false);
  broken = false;
  assert.is(probe.probe(), true);
  assert.is(opens, 2);
  assert.throws(() => new GatewayProbe({ interfaceName: 'x', gateway: 'gate' }), /not an IPv4/);
});

test('who answers is asked alone; all are asked only while nobody answers, soon rarely', () => {
  const everybody = Buffer.alloc(6, 0xff).toString('hex');
  const asked: string[] = [];
  let speaker: Buffer | undefined;
  const calls = {
    arpOpen: () => 1_000_000,
    arpAsk: (_fd: number, _target: Buffer, station: Buffer) => asked.push(station.toString('hex')),
    arpAnswers: (_fd: number, _target: Buffer, station: Buffer) => {
      speaker?.copy(station);
      return speaker === undefined ? 0 : 1;
    },
  };
  const probe = new GatewayProbe({ interfaceName: 'x', gateway: '192.0.2.9', calls });
  probe.stop = () => Reflect.set(probe, 'fd', null);
  const probes = (count: number, station: string | undefined) => {
    speaker = station === undefined ? undefined : Buffer.from(station, 'hex');
    asked.length = 0;
    for (let n = 0; n < count; n++) probe.probe();
    return asked.filter((to) => to === everybody).length;
  };
  assert.is(probes(5, undefined), 5, 'nobody is known yet');
  assert.is(probes(100, '020000000001'), 0);
  assert.is(asked.length, 100);
  assert.is(probes(2, undefined), 0, 'one lost answer is no change');
  assert.is(probes(1, undefined), 1, 'it may have moved');
  assert.is(probes(1, '020000000002'), 0);
  assert.equal(asked, ['020000000002'], 'and is asked where it is now');
  const wide = probes(1_000, undefined);
  assert.ok(wide >= 100 && wide <= 112, `${wide} broadcasts of 1000 probes to nobody`);
});

test.run();

const arp = suite('watchdog/gateway-probe');
arp.needs(needs.networkNamespaces());

arp('ARP over a veth pair: there, silent when the far end is down, back again', () => {
  const module = pathToFileURL(repoPath('dist/watchdog/gateway-probe.js')).href;
  // All in a namespace of its own, which ends with the process.
  const script = `
    set -e
    ip link set lo up
    ip link add front0 type veth peer name far0
    ip netns add $$far 2>/dev/null || true
    unshare -n sleep 30 & far=$!
    trap "kill $far" EXIT
    for try in 1 2 3 4 5 6 7 8 9 10; do
      [ "$(readlink /proc/$far/ns/net)" != "$(readlink /proc/self/ns/net)" ] && break; sleep 0.05
    done
    ip link set far0 netns $far
    nsenter -t $far -n ip addr add 192.0.2.1/24 dev far0
    nsenter -t $far -n ip link set far0 up
    ip link set front0 up
    FAR=$far ${process.execPath} --input-type=module -e '
      import { execSync } from "node:child_process";
      const { GatewayProbe } = await import("${module}");
      const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      const far = (command) => execSync("nsenter -t " + process.env.FAR + " -n " + command);
      const count = async (target) => {
        const probe = new GatewayProbe({ interfaceName: "front0", gateway: target });
        let answers = 0;
        for (let n = 0; n < 21; n++) { if (probe.probe()) answers += 1; await wait(10); }
        probe.stop();
        return answers;
      };
      const results = [await count("192.0.2.1"), await count("192.0.2.77")];
      far("ip link set far0 down");
      results.push(await count("192.0.2.1"));
      far("ip link set far0 up");
      await wait(50);
      results.push(await count("192.0.2.1"));
      console.log(JSON.stringify(results));
    '
  `.replace('ip netns add $$far 2>/dev/null || true', '');
  const run = spawnSync('unshare', ['-n', 'bash', '-c', script], { encoding: 'utf8' });
  assert.is(run.status, 0, run.stderr);
  const [there, nobody, down, back] = JSON.parse(run.stdout.trim());
  assert.ok(there >= 18, `${there} of 20 answered`);
  assert.is(nobody, 0);
  assert.is(down, 0);
  assert.ok(back >= 15, `${back} of 20 answered after the return`);
});

arp.run();

// Made first, started then: no object hears of the world before it is whole. As a rule on the sources (no
// constructor starts what could call back), and by worlds that call back inside `start()`, at once.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArbiterLoop } from '../../firmware/board/arbiter-loop.ts';
import { parseConfig } from '../../firmware/board/config/parse.ts';
import type { GuestPlan } from '../../firmware/board/config/types.ts';
import { type BoardEvent, EventLog } from '../../firmware/board/events.ts';
import { GuestRunner } from '../../firmware/board/replication/guest-runner.ts';
import { encodeLogMessage } from '../../firmware/board/replication/messages.ts';
import { GuestReplication } from '../../firmware/board/replication/replication.ts';
import type { BackendEvents } from '../../firmware/host/backends.ts';
import { Channel, type ChannelHandler } from '../../logchan/channel.ts';
import type { ChannelEvent } from '../../logchan/endpoint.ts';
import { MemoryPort } from '../../logchan/memory-port.ts';
import { LANE } from '../../logchan/sections.ts';
import { watchdog as native } from '../../native/index.ts';
import type { Statement } from '../../watchdog/arbiter-types.ts';
import type { SerialLine } from '../../watchdog/line.ts';
import { pathKeys, sealStatement } from '../../watchdog/path-frame.ts';
import { framed, SerialPath } from '../../watchdog/serial-path.ts';
import { loneConfig } from '../board/lone-config.ts';
import { assert, repoPath, suite } from '../harness/index.ts';
import { tinyGuest } from '../host/tiny-guests.ts';
import { testChannelOptions } from '../logchan/stream-digest.ts';
import { until } from '../watchdog/pty.ts';
import { startersIn } from './made-first.ts';

const test = suite('starts/made-first');
const KEY = new Uint8Array(32).fill(6);
const NO_PLAN: GuestPlan = {
  ...{ kernel: '', initrd: undefined, append: '', memoryBytes: 4 << 20, engine: 'soft' },
  ...{ nics: [], disks: [], com1: { kind: 'none' }, com2: { kind: 'none' }, onPowerOff: 'stop' },
};
const SAID: Statement = {
  ...{ boot: 7, seq: 12, role: 'solo', generation: 5, standing: 'sole', session: 3, grant: null },
  ...{ spent: null, wantsRenounce: false, ready: true, witness: true, echoBoot: 0, echoSeq: 0 },
  hears: { log: true, serial: true, front: false },
};
const sealed = () => sealStatement(pathKeys(KEY, 'b'), SAID, { position: 0n, health: 0 });
let folder = '';

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-made-'));
});
test.after.each(() => rmSync(folder, { recursive: true, force: true }));

// --- the rule on the sources ---------------------------------------------------------------------

const TREES = ['firmware/board', 'firmware/host', 'firmware/console', 'logchan', 'watchdog'];
/** Class, and why its constructor may. */
const ALLOWED: Readonly<Record<string, string>> = {
  Terminal: 'its `resume` goes on with a dialogue of its own: nothing outside',
  Shell:
    'console of one person on streams that exist already; whole before its first line, and no port',
};

test('no constructor starts what could call back before the object is whole', () => {
  const files = TREES.flatMap((tree) =>
    readdirSync(repoPath(tree), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `${tree}/${name}`),
  );
  assert.ok(files.length > 100);
  const found = files.flatMap((file) =>
    startersIn(readFileSync(repoPath(file), 'utf8')).map((hit) => ({ file, ...hit })),
  );
  const not = found.filter((hit) => !(hit.name in ALLOWED));
  assert.equal(not, []);
  for (const name of Object.keys(ALLOWED))
    assert.ok(
      found.some((hit) => hit.name === name),
      `${name} keeps the rule: it needs no exception`,
    );
});

test('the rule sees what it forbids, and what only happens later is allowed', () => {
  const constructorWith = (line: string) =>
    `export class Port {\n  constructor(options: Options) {\n    ${line}\n  }\n\n  start(): void {\n    this.timer = setTimeout(() => {}, 1);\n  }\n}\n`;
  const forbidden = [
    'this.timer = setInterval(() => this.tick(), 5);',
    'setImmediate(() => this.go());',
    "this.worker = new Worker(new URL('./x.js', import.meta.url));",
    "this.child = spawn('sh', []);",
    "socket.on('data', (bytes) => this.take(bytes));",
    "child.once('exit', () => {});",
    'this.channel.start();',
    'events.listen((event) => this.take(event));',
    "this.server.listen('/x');",
    'socket.bind(5);',
    "this.socket = createSocket('udp4');",
    'this.tap = HostTap.open(name);',
    'void this.load().then(() => {});',
  ];
  for (const line of forbidden) {
    const hits = startersIn(constructorWith(line));
    assert.equal(
      hits.map(({ name }) => name),
      ['Port'],
      line,
    );
  }
  assert.is(startersIn('class A {\n  private readonly socket = connect(1);\n}\n').length, 1);
  const allowed = [
    'this.later = () => setTimeout(() => {}, 1);',
    'this.calls = new Calls((id) => {\n      this.port.start();\n    });',
    "this.text = '.start(';",
    'line.onData = (bytes) => this.take(bytes);',
    '// this.port.start();',
  ];
  for (const line of allowed) assert.equal(startersIn(constructorWith(line)), [], line);
});

// --- worlds that call back at once ---------------------------------------------------------------

test('a port that calls back inside start(): the channel is not troubled, and works afterwards', async () => {
  const [one, other] = MemoryPort.pair();
  const eager = one.start.bind(one);
  one.start = (handler) => {
    handler.link({ up: false, frameBytesMax: 1500 });
    handler.frame(new Uint8Array(60).fill(7), 0, 60);
    handler.batchEnd();
    handler.writable();
    handler.link({ up: true, frameBytesMax: 1500 });
    return eager(handler);
  };
  const told: ChannelEvent[] = [];
  const channels = [one, other].map((port) => {
    const handler: ChannelHandler = {
      event: (event) => {
        told.push(event);
        // Whoever is told may ask at once.
        for (const channel of channels) channel.state();
      },
    };
    const channel: Channel = new Channel({ ...testChannelOptions, paths: [{ port }], handler });
    return channel;
  });
  for (const channel of channels) channel.start();
  await until('both are up', () => channels.every(({ isUp }) => isUp));
  for (const channel of channels) channel.stop();
});

/** Everything a channel may ever say, said in the call that starts it. */
function eagerChannel(handler: ChannelHandler): Channel {
  const statement = encodeLogMessage({ type: 'statement', frame: sealed() });
  const waiting = [statement, Uint8Array.of(255, 1, 2), new Uint8Array(0)];
  const none = { take: () => undefined };
  const channel = {
    isUp: false,
    ackedThrough: 0,
    bulkAckedThrough: 0,
    start: () => {
      handler.event?.({ type: 'link', up: false });
      handler.event?.({ type: 'refused', why: 'version' });
      handler.event?.({ type: 'up', path: 0, session: 1, peerFrameBytesMax: 1500 });
      handler.readable?.();
      handler.acked?.(3);
      handler.bulkAcked?.(3);
      handler.event?.({ type: 'down', why: 'protocol', ackedThrough: 3, log: none, bulk: none });
      handler.event?.({ type: 'link', up: true });
    },
    stop: () => {},
    fits: () => false,
    append: () => 0,
    appendPassing: () => 0,
    appendBulk: () => 0,
    tick: () => {},
    take: (lane: number) => (lane === LANE.log ? waiting.shift() : undefined),
    state: () => ({ up: false, linkUp: false, frameBytes: 0, rttUs: 0 }),
    paths: () => [],
  };
  return channel as unknown as Channel;
}

test('a log link that tells everything while it is started: the whole board hears it, and comes up', async () => {
  const stateDir = join(folder, 'state');
  writeFileSync(join(folder, 'kernel'), tinyGuest.halts());
  const { config } = parseConfig(
    loneConfig({ host: 71, port: 40_000 + (process.pid % 9_000) }),
    folder,
  );
  const told: BoardEvent[] = [];
  const clocks = { wallMs: () => Date.now(), monoMs: () => native.bootClockMs() };
  const events = new EventLog(clocks);
  events.listen((event) => told.push(event));
  const loop = await ArbiterLoop.start({
    config: { ...config, stateDir },
    pairingKey: KEY,
    events,
    makeReplication: (replicationEvents) =>
      new GuestReplication({
        plan: config.guest,
        makeChannel: eagerChannel,
        events: replicationEvents,
        nowMs: clocks.monoMs,
      }),
    watchdog: null,
    // Its answer has been waiting since before it was asked.
    witness: { probe: () => true, stop: () => {}, trouble: null },
    nowMs: clocks.monoMs,
    wallMs: clocks.wallMs,
    onMute: (why) => assert.unreachable(why),
  });
  try {
    await until('it has a role', () => loop.role === 'seeking', 8_000);
    const { peer, health } = loop.status();
    assert.is(peer?.boot, SAID.boot);
    assert.is(health.ok, true, health.words.join());
    const codes = told.map(({ code }) => code);
    for (const code of ['LINK-DOWN', 'LINK-REFUSED', 'LINK-UP', 'PEER-SEEN'])
      assert.ok(codes.includes(code as BoardEvent['code']), code);
  } finally {
    await loop.close();
  }
});

test('a serial line that is down, up and full of words inside start(): heard, each in its turn', () => {
  const heard: string[] = [];
  const line = {
    onData: (_bytes: Uint8Array) => {},
    onUp: () => {},
    onDown: (_why: string) => {},
    write: () => true,
    modemLines: () => Promise.resolve(null),
    stop: () => Promise.resolve(),
    start(): void {
      this.onDown('no such port');
      this.onUp();
      this.onData(framed(sealed()));
      this.onDown('hung up');
    },
  } satisfies SerialLine & { start(): void };
  const path = new SerialPath({
    line,
    keys: pathKeys(KEY, 'a'),
    heartbeatMs: 20,
    onStatement: ({ boot }) => heard.push(`start ${boot}, ${path.reader.accepted} so far`),
    onPairing: () => {},
    onDown: (why) => heard.push(why),
  });
  line.start();
  assert.equal(heard, ['no such port', 'start 7, 1 so far', 'hung up']);
});

test('a plant that speaks while the runner is opened and started: dropped and counted, and opened again', async () => {
  writeFileSync(join(folder, 'kernel'), tinyGuest.halts());
  const notices: string[] = [];
  let tries = 0;
  const speak = (events: BackendEvents) => {
    events.onNotice('com1 is here');
    events.onInputs([{ kind: 'net-rx', nic: 0, frame: new Uint8Array(60) }]);
    events.onInputs([{ kind: 'serial-rx', port: 'com1', bytes: Uint8Array.of(1, 2) }]);
  };
  const runner: GuestRunner = new GuestRunner(
    { ...NO_PLAN, kernel: join(folder, 'kernel') },
    {
      onLog: () => {},
      onOutputs: () => {},
      onProgress: () => {},
      onDivergence: () => {},
      onReboot: () => {},
      onEnded: () => {},
      isBackedUp: () => false,
      onDiskTrouble: () => {},
      // Who is told looks around at once.
      onNotice: (line) => notices.push(`${line}, ${runner.isOpen}, ${runner.leads}`),
    },
    () => performance.now(),
    async (_spec, events) => {
      speak(events);
      tries += 1;
      if (tries === 1) throw new Error('not here yet');
      return {
        start: () => speak(events),
        deliver: () => {},
        serialTaken: () => {},
        close: async () => speak(events),
      };
    },
  );
  assert.match(await runner.open().then(String, String), /not here yet/);
  assert.is(runner.isOpen, false);
  await runner.open();
  assert.is(runner.isOpen, true);
  assert.equal(notices, [
    'com1 is here, false, false',
    'com1 is here, false, false',
    'com1 is here, true, false',
  ]);
  assert.is(runner.inputsDropped, 6);
  await runner.close();
});

test.run();

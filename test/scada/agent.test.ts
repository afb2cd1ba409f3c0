// The whole way from two boards to a host application: control sockets, agents, Debian's mosquitto. What
// the host sees through a takeover and a broker that dies in the middle of it; never a wrong "healthy".
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqtt from 'mqtt';
import type { ScadaConfig } from '../../firmware/board/config/scada-types.ts';
import { ControlServer } from '../../firmware/board/control/server.ts';
import { EventLog } from '../../firmware/board/events.ts';
import type { Status } from '../../firmware/board/status.ts';
import { ScadaAgent } from '../../firmware/scada/agent.ts';
import { PlainTopic } from '../../firmware/scada/plain-topic.ts';
import { ScadaSession } from '../../firmware/scada/session.ts';
import { assert, suite } from '../harness/index.ts';
import { Awaited, Host } from './host.ts';
import { hasMosquitto, Mosquitto } from './mosquitto.ts';

const test = suite('scada/agent');
test.needs(hasMosquitto);

const folder = mkdtempSync(join(tmpdir(), 'twinstep-scada-agent-'));
test.after(() => rmSync(folder, { recursive: true }));

/** A board as the control socket shows it. */
class ShownBoard {
  readonly name: string;
  events = new EventLog({ wallMs: () => Date.now(), monoMs: () => 0 });
  readonly path: string;
  private pid = 1;
  private shown: Status;
  private server: ControlServer | undefined;

  constructor(name: string) {
    this.name = name;
    this.path = join(folder, `${name}.sock`);
    this.shown = statusOf(name, 'cold', 'STARTUP');
  }

  async start(): Promise<void> {
    this.server = await ControlServer.open(this.path, {
      events: this.events,
      status: () => ({ ...this.shown, board: { ...this.shown.board, pid: this.pid } }),
      request: () => ({ ok: false, why: 'not here' }),
      setSyncAllowed: () => {},
      restart: () => ({ ok: true }),
      stop: () => ({ ok: false, why: 'not here' }),
      alarms: () => [],
      alarmHistory: () => [],
      ack: () => 0,
    });
  }

  becomes(role: Status['role'], pairState: Status['pairState']): void {
    this.shown = statusOf(this.name, role, pairState);
    this.events.tell('PAIR-STATE', `${this.name} is ${role}`);
  }

  async dies(): Promise<void> {
    await this.server?.close();
  }

  /** Its state is lost, too: it counts its starts and its events anew. */
  async startsAnew(): Promise<void> {
    await this.dies();
    this.pid += 1;
    this.events = new EventLog({ wallMs: () => Date.now(), monoMs: () => 0 });
    await this.start();
  }
}

function statusOf(name: string, role: Status['role'], pairState: Status['pairState']): Status {
  const path = { state: 'talks', heardMs: 1, peerHears: true, sent: 1, accepted: 1, rejected: 0 };
  return {
    ...{ format: 1, role, pairState, why: 'shown', sinceMs: 5, generation: 3 },
    board: { name, side: name.endsWith('a') ? 'a' : 'b', pid: 1, boot: 7, upMs: 10 },
    record: { generation: 3, standing: 'shared' },
    safeToRemove: { ok: role === 'backup', why: 'shown' },
    paths: { log: path, serial: path, front: path },
    witness: { kind: 'gateway', address: '10.0.0.1', answers: true, trouble: null },
    watchdog: { kind: 'stand-in', armed: true, identity: null, timeoutMs: 1, why: null },
    health: { ok: true, words: [] },
    ...{ lagMs: 2, logKbps: 15, gate: { mode: 'acked', waiting: 0, oldestMs: 0 } },
    link: { up: true, rttUs: 100, frameBytes: 1500 },
    sync: { phase: 'none', percent: 0, etaS: null, round: 0, refusals: [], isAllowed: true },
    lastTakeover: null,
    guest: { state: 'leading', position: '5', icount: '5', virtualNs: '5', lives: 1 },
    ...{ alarms: [], disks: [], versions: { firmware: '1' }, peer: null, lastEvent: null },
  } as unknown as Status;
}

function configOf(broker: Mosquitto, node: string): ScadaConfig {
  return {
    servers: [{ host: '127.0.0.1', port: broker.port, isTls: false }],
    ...{ group: 'plant', node, device: 'guest', primaryHost: undefined, keepaliveS: 5 },
    ...{ login: undefined, tls: undefined, statusTopic: `plain/${node}`, homeAssistant: true },
  };
}

function agentOf(broker: Mosquitto, board: Pick<ShownBoard, 'name' | 'path'>): ScadaAgent {
  const config = configOf(broker, board.name);
  const common = { config, wallMs: () => Date.now(), onNotice: () => {} };
  const bdSeqFile = join(folder, `${board.name}.bdseq`);
  const topic = `plain/${board.name}`;
  return new ScadaAgent({
    ...common,
    socket: board.path,
    tellers: [
      new ScadaSession({ ...common, bdSeqFile }),
      new PlainTopic({ ...common, topic, firmware: '1' }),
    ],
  });
}

const LEVEL = 'Board/Service Level';

test(
  'a takeover as the host sees it, with a broker that dies in the middle',
  async () => {
    const broker = await Mosquitto.start();
    const [a, b] = [new ShownBoard('board-a'), new ShownBoard('board-b')];
    await Promise.all([a.start(), b.start()]);
    a.becomes('protected', 'RUN-Redundant');
    b.becomes('backup', 'RUN-Redundant');
    const agents = [agentOf(broker, a), agentOf(broker, b)];
    for (const agent of agents) agent.start();
    let host = await Host.connect(broker);
    // The host came late: births are not retained, it asks for them as any host does.
    await askForBirths(host);
    await host.says('board-a', LEVEL, 255);
    await host.says('board-b', LEVEL, 200);
    const births = host.heard.all.filter(({ kind }) => kind === 'DBIRTH');
    assert.ok(births.length > 0 && births.every(({ node }) => node === 'board-a'));

    await a.dies();
    await host.says('board-a', 'Board/Reachable', false);
    assert.is(host.value('board-a', LEVEL), 1);
    assert.is(host.value('board-a', 'Pair/Redundant'), null, 'old news is not repeated as true');
    await host.heard.until(({ kind, node }) => kind === 'DDEATH' && node === 'board-a');

    await host.client.endAsync(true);
    await broker.kill();
    b.becomes('promoting', 'RUN-Solo');
    b.becomes('solo', 'RUN-Solo');
    await broker.start();
    host = await Host.connect(broker);
    // Some board may have been back before it.
    await askForBirths(host);
    await host.says('board-b', 'Board/Role', 'PRIMARY');
    assert.is(host.value('board-b', 'Board/Arbiter Role'), 'solo');
    assert.is(host.value('board-b', LEVEL), 150);
    await host.heard.until(({ kind, node }) => kind === 'DBIRTH' && node === 'board-b');
    await host.says('board-a', 'Board/Reachable', false);
    const told = host.heard.all.filter(({ node }) => node === 'board-a');
    const healthy = told.flatMap(({ payload }) =>
      payload.metrics.filter(({ name, value }) => name === LEVEL && Number(value) >= 200),
    );
    assert.equal(healthy, [], 'a dead board is never called healthy');

    for (const agent of agents) await agent.stop('test ends');
    await host.client.endAsync(true);
    await b.dies();
    await broker.close();
  },
  { timeoutMs: 30_000 },
);

test(
  'a board that lost its state is heard from its first event on',
  async () => {
    const broker = await Mosquitto.start();
    const a = new ShownBoard('board-l');
    await a.start();
    const agent = agentOf(broker, a);
    const host = await Host.connect(broker);
    agent.start();
    await host.says('board-l', 'Board/Reachable', true);
    for (let n = 0; n < 5; n++) a.events.tell('LINK-UP', `before ${n}`);
    const last = () => String(host.value('board-l', 'Events/Last'));
    while (!last().includes('before 4')) await host.heard.until(() => true, host.heard.all.length);
    await a.startsAnew();
    a.events.tell('LINK-UP', 'the first one');
    while (!last().includes('first')) await host.heard.until(() => true, host.heard.all.length);
    await agent.stop('test ends');
    await host.client.endAsync(true);
    await a.dies();
    await broker.close();
  },
  { timeoutMs: 30_000 },
);

test('a board that never answered is said so from the first birth on', async () => {
  const broker = await Mosquitto.start();
  const host = await Host.connect(broker);
  const agent = agentOf(broker, { name: 'board-n', path: join(folder, 'nobody.sock') });
  agent.start();
  const { payload } = await host.kind('NBIRTH');
  const value = (name: string) => payload.metrics.find((one) => one.name === name)?.value;
  assert.is(value('Board/Reachable'), false);
  assert.is(value(LEVEL), 1);
  await agent.stop('test ends');
  await host.client.endAsync(true);
  await broker.close();
});

test(
  'a board that hangs keeps its socket open; what it said last is not called true',
  async () => {
    const broker = await Mosquitto.start();
    const a = new ShownBoard('board-h');
    await a.start();
    a.becomes('protected', 'RUN-Redundant');
    const path = join(folder, 'hangs.sock');
    const between = new Between(path, a.path);
    const agent = agentOf(broker, { name: a.name, path });
    const host = await Host.connect(broker);
    agent.start();
    await host.says('board-h', LEVEL, 255);
    between.hang(true);
    await host.says('board-h', 'Board/Reachable', false);
    assert.is(host.value('board-h', LEVEL), 1);
    assert.is(host.value('board-h', 'Pair/Redundant'), null);
    between.hang(false);
    await host.says('board-h', LEVEL, 255);
    await agent.stop('test ends');
    await host.client.endAsync(true);
    await between.close();
    await a.dies();
    await broker.close();
  },
  { timeoutMs: 30_000 },
);

/** A wire to a board's socket; while it hangs, everything is accepted and nothing arrives. */
class Between {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private isHanging = false;

  constructor(path: string, board: string) {
    this.server = createServer((socket) => {
      const there = connect(board);
      for (const [from, to] of [
        [socket, there],
        [there, socket],
      ] as const) {
        this.sockets.add(from);
        from.on('error', () => {});
        from.on('close', () => to.destroy());
        from.pipe(to);
        if (this.isHanging) from.unpipe(to).pause();
      }
    }).listen(path);
  }

  hang(isHanging: boolean): void {
    this.isHanging = isHanging;
    if (isHanging) for (const socket of this.sockets) socket.unpipe().pause();
    else for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

async function askForBirths(host: Host): Promise<void> {
  const { encodePayload } = await import('../../firmware/scada/payload.ts');
  const rebirth = { name: 'Node Control/Rebirth', type: 'boolean', value: true } as const;
  const payload = encodePayload({
    ...{ timestampMs: 1, seq: undefined, metrics: [{ ...rebirth, timestampMs: 1 }] },
  });
  for (const node of ['board-a', 'board-b']) {
    await host.client.publishAsync(`spBv1.0/plant/NCMD/${node}`, payload, { qos: 1 });
  }
}

test(
  'the plain topic: retained status, offline as last will, Home Assistant finds it',
  async () => {
    const broker = await Mosquitto.start();
    const a = new ShownBoard('board-a');
    await a.start();
    a.becomes('solo', 'RUN-Solo');
    const agent = agentOf(broker, a);
    agent.start();
    const heard = new Awaited<{ topic: string; value: Record<string, unknown> }>();
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`);
    client.on('message', (topic, bytes) =>
      heard.add({ topic, value: JSON.parse(bytes.toString()) }),
    );
    await client.subscribeAsync(['plain/#', 'homeassistant/#'], { qos: 1 });
    const { value } = await heard.until((one) => one.value.role === 'PRIMARY');
    assert.equal([value.online, value.reachable, value.redundant], [true, true, false]);
    assert.is(value.arbiterRole, 'solo');
    const found = await heard.until(({ topic }) => topic.startsWith('homeassistant/device/'));
    assert.ok('dev' in found.value && 'o' in found.value && 'cmps' in found.value);
    await a.dies();
    await heard.until((one) => one.value.reachable === false);
    await agent.stop('test ends');
    await heard.until((one) => one.value.online === false);
    await client.endAsync(true);
    await broker.close();
  },
  { timeoutMs: 30_000 },
);

test.run();

// The whole way from two boards to a host application: control sockets, agents, Debian's mosquitto. What
// the host sees through a takeover and a broker that dies in the middle of it; never a wrong "healthy".
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqtt from 'mqtt';
import type { ScadaConfig } from '../../firmware/board/config/scada-types.ts';
import { readReport, ScadaDesk, type ScadaReport } from '../../firmware/board/scada-desk.ts';
import { ScadaAgent } from '../../firmware/scada/agent.ts';
import { clientId } from '../../firmware/scada/ids.ts';
import { PlainTopic } from '../../firmware/scada/plain-topic.ts';
import { ScadaSession } from '../../firmware/scada/session.ts';
import { assert, suite } from '../harness/index.ts';
import { Awaited, Host } from './host.ts';
import { hasMosquitto, Mosquitto, makeCertificates } from './mosquitto.ts';
import { Between, ShownBoard } from './shown-board.ts';

const test = suite('scada/agent');
test.needs(hasMosquitto);

const folder = mkdtempSync(join(tmpdir(), 'twinstep-scada-agent-'));
test.after(() => rmSync(folder, { recursive: true }));

function configOf(broker: Mosquitto, node: string): ScadaConfig {
  return {
    servers: [{ host: '127.0.0.1', port: broker.port, isTls: false }],
    ...{ group: 'plant', node, device: 'guest', primaryHost: undefined, keepaliveS: 5 },
    ...{ login: undefined, tls: undefined, statusTopic: `plain/${node}`, homeAssistant: true },
  };
}

function agentOf(
  broker: Mosquitto,
  board: Pick<ShownBoard, 'name' | 'path'>,
  config = configOf(broker, board.name),
): ScadaAgent {
  const common = { config, wallMs: () => Date.now(), onNotice: () => {} };
  const bdSeqFile = join(folder, `${board.name}.bdseq`);
  const topic = `plain/${board.name}`;
  return new ScadaAgent({
    ...common,
    socket: board.path,
    tellers: [
      new ScadaSession({ ...common, bdSeqFile }),
      new PlainTopic({ ...common, topic, firmware: '1', repeatMs: 300 }),
    ],
  });
}

const LEVEL = 'Board/Service Level';

test(
  'a takeover as the host sees it, with a broker that dies in the middle',
  async () => {
    const broker = await Mosquitto.start();
    const [a, b] = [new ShownBoard(folder, 'board-a'), new ShownBoard(folder, 'board-b')];
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
    const a = new ShownBoard(folder, 'board-l');
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
  'what becomes of it is told to the board: each server, in words',
  async () => {
    const made = makeCertificates(folder);
    const gone = await Mosquitto.start();
    await gone.close();
    const [closed, secure, broker] = [
      await Mosquitto.start({ anonymous: false }),
      await Mosquitto.start({ tls: made }),
      await Mosquitto.start(),
    ];
    const board = new ShownBoard(folder, 'board-r');
    await board.start();
    const config: ScadaConfig = {
      ...configOf(broker, 'board-r'),
      servers: [gone, closed, secure, broker].map(({ port }, n) => ({
        ...{ host: '127.0.0.1', port, isTls: n === 2 },
      })),
      tls: { ca: made.strangerCa, cert: undefined, key: undefined },
    };
    const agent = agentOf(broker, board, config);
    agent.start();
    const isTold = ({ tellers }: ScadaReport) => tellers.every((teller) => teller.isTold);
    const { tellers } = await board.reports.until(isTold);
    assert.equal(
      tellers.map(({ what, clientId: id, why, at, births }) => [what, id, why, at, births]),
      [
        ['Sparkplug', clientId(config, 'sparkplug'), null, 3, 1],
        ['status topic', clientId(config, 'status'), null, 3, 1],
      ],
    );
    for (const { servers, sent } of tellers) {
      const words = [/nobody listens there/, /user name, password, certificate/, /authority/, null];
      for (const [n, { url, state, trouble, connects }] of servers.entries()) {
        assert.match(url, String(config.servers[n]?.port));
        assert.equal([state, connects], n === 3 ? ['connected', 1] : ['lost', 0]);
        if (words[n] === null) assert.is(trouble, null);
        else assert.match(trouble?.text as string, words[n] as RegExp);
      }
      assert.ok(sent !== null && sent.agoMs < 60_000);
    }
    await broker.close();
    const lost = await board.reports.until((report) => !isTold(report), board.reports.all.length);
    assert.match(lost.tellers[0]?.why as string, `:${broker.port}: the broker hung up`);
    const desk = new ScadaDesk(0);
    desk.take(readReport(JSON.parse(JSON.stringify(lost))) as ScadaReport, 1);
    assert.not.ok(desk.status(2).isReached);
    await agent.stop('test ends');
    await Promise.all([board.dies(), closed.close(), secure.close()]);
  },
  { timeoutMs: 40_000 },
);

test(
  'a board that hangs keeps its socket open; what it said last is not called true',
  async () => {
    const broker = await Mosquitto.start();
    const a = new ShownBoard(folder, 'board-h');
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
  'the plain topic: retained status, repeated, offline at the end; every key in every message',
  async () => {
    const broker = await Mosquitto.start();
    const a = new ShownBoard(folder, 'board-a');
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
    const seen = heard.all.length;
    const again = await heard.until(({ topic }) => topic === 'plain/board-a', seen);
    assert.equal({ ...again.value, atMs: 0 }, { ...value, atMs: 0 }, 'repeated');
    assert.ok(Number(again.value.atMs) > Number(value.atMs), 'with its time');
    await a.dies();
    const gone = await heard.until((one) => one.value.reachable === false);
    assert.equal([gone.value.online, gone.value.redundant, gone.value.role], [true, null, null]);
    assert.match(String(gone.value.why), 'the board has ended');
    await agent.stop('test ends');
    const end = await heard.until((one) => one.value.online === false);
    for (const one of [gone, end])
      assert.equal(Object.keys(one.value).sort(), Object.keys(value).sort());
    await client.endAsync(true);
    await broker.close();
  },
  { timeoutMs: 30_000 },
);

test.run();

// The session on Debian's mosquitto, watched by a host application on the same broker.
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ScadaConfig, Server, TlsFiles } from '../../firmware/board/config/scada-types.ts';
import type { Snapshot } from '../../firmware/scada/edge-node.ts';
import { encodePayload } from '../../firmware/scada/payload.ts';
import { ScadaSession } from '../../firmware/scada/session.ts';
import { assert, suite } from '../harness/index.ts';
import { Awaited, bdSeqOf, Host } from './host.ts';
import { hasMosquitto, Mosquitto, makeCertificates } from './mosquitto.ts';

const test = suite('scada/session');
test.needs(hasMosquitto);

const SOLO: Snapshot = {
  node: [{ name: 'Board/Role', type: 'string', value: 'solo' }],
  device: [{ name: 'Guest/State', type: 'string', value: 'leading' }],
};
const folder = mkdtempSync(join(tmpdir(), 'twinstep-scada-'));
test.after(() => rmSync(folder, { recursive: true }));
let files = 0;

function config(servers: readonly Server[], tls?: TlsFiles, primaryHost?: string): ScadaConfig {
  return {
    ...{ servers, group: 'plant', node: 'board-a', device: 'guest', primaryHost },
    ...{ keepaliveS: 5, login: undefined, tls, statusTopic: undefined, homeAssistant: false },
  };
}

const at = ({ port }: Mosquitto, isTls = false): Server => ({ host: '127.0.0.1', port, isTls });

function session(
  servers: readonly Server[],
  tls?: TlsFiles,
  bdSeqFile = join(folder, `${files++}`),
  primaryHost?: string,
) {
  const notices = new Awaited<string>();
  const one = new ScadaSession({
    config: config(servers, tls, primaryHost),
    bdSeqFile,
    wallMs: () => Date.now(),
    onNotice: (text) => notices.add(text),
  });
  return { session: one, notices, bdSeqFile };
}

test('births, data, rebirth on command, and an ordered death', async () => {
  const broker = await Mosquitto.start();
  const host = await Host.connect(broker);
  const { session: board } = session([at(broker)]);
  board.update(SOLO);
  board.start();
  assert.is(bdSeqOf(await host.kind('NBIRTH')), 0);
  await host.kind('DBIRTH');
  board.update({ ...SOLO, device: undefined });
  await host.kind('DDEATH');
  const before = host.heard.all.length;
  const rebirth = {
    name: 'Node Control/Rebirth',
    type: 'boolean',
    value: true,
    timestampMs: 1,
  } as const;
  const payload = encodePayload({ timestampMs: 1, seq: undefined, metrics: [rebirth] });
  await host.client.publishAsync('spBv1.0/plant/NCMD/board-a', payload, { qos: 1 });
  assert.is(bdSeqOf(await host.kind('NBIRTH', before)), 0);
  await board.stop('test ends');
  assert.is(bdSeqOf(await host.kind('NDEATH')), 0);
  await host.client.endAsync(true);
  await broker.close();
});

test('a broker that was away gets what it missed, under the next bdSeq', async () => {
  const broker = await Mosquitto.start();
  const first = await Host.connect(broker);
  const { session: board, notices } = session([at(broker)]);
  board.update(SOLO);
  board.start();
  await first.kind('NBIRTH');
  await first.client.endAsync(true);
  await broker.kill();
  await notices.until((text) => text.includes('hung up'));
  board.note({ wallMs: 123, text: 'took over while nobody listened' });
  await broker.start();
  const host = await Host.connect(broker);
  const birth = await host.kind('NBIRTH');
  assert.is(bdSeqOf(birth), 1);
  const data = await host.kind('NDATA');
  const [metric] = data.payload.metrics;
  assert.equal(
    [metric?.value, metric?.timestampMs, metric?.isHistorical],
    ['took over while nobody listened', 123, true],
  );
  await board.stop('test ends');
  await host.client.endAsync(true);
  await broker.close();
});

test('a dead board is told by its will', async () => {
  const broker = await Mosquitto.start();
  const host = await Host.connect(broker);
  const { session: board, bdSeqFile } = session([at(broker)]);
  board.start();
  await host.kind('NBIRTH');
  board.sever();
  assert.is(bdSeqOf(await host.kind('NDEATH')), 0);
  const again = session([at(broker)], undefined, bdSeqFile).session;
  const before = host.heard.all.length;
  again.start();
  assert.is(bdSeqOf(await host.kind('NBIRTH', before)), 1, 'it outlives the process');
  await again.stop('test ends');
  await host.client.endAsync(true);
  await broker.close();
});

test('the next server when one is gone', async () => {
  const dead = await Mosquitto.start();
  await dead.close();
  const broker = await Mosquitto.start();
  const host = await Host.connect(broker);
  const { session: board, notices } = session([at(dead), at(broker)]);
  board.start();
  assert.is(bdSeqOf(await host.kind('NBIRTH')), 0, 'no CONNECT was sent, no number used');
  assert.match(notices.all[0] as string, /nobody listens there/);
  await board.stop('test ends');
  await host.client.endAsync(true);
  await broker.close();
});

const STATE = 'spBv1.0/STATE/scada';

/** A broker, a host application that watches it, and what it says of itself there. */
async function brokerWith(online: boolean | undefined, timestamp = 1_000) {
  const broker = await Mosquitto.start();
  const host = await Host.connect(broker);
  const says = async (isOnline: boolean, ms: number) => {
    const payload = JSON.stringify({ online: isOnline, timestamp: ms });
    await host.client.publishAsync(STATE, payload, { qos: 1, retain: true });
  };
  if (online !== undefined) await says(online, timestamp);
  const close = async () => {
    await host.client.endAsync(true);
    await broker.close();
  };
  return { broker, host, says, close };
}

const waitingFor = (brokers: readonly { broker: Mosquitto }[]) => {
  const servers = brokers.map(({ broker }) => at(broker));
  return session(servers, undefined, undefined, 'scada');
};

test(
  'the primary host is offline on one server and online on the next: it walks on',
  async () => {
    const [one, two] = [await brokerWith(false, 5_000), await brokerWith(true, 4_000)];
    const { session: board, notices } = waitingFor([one, two]);
    board.update(SOLO);
    board.start();
    await two.host.kind('NBIRTH');
    assert.is(notices.all[0], `mqtt://127.0.0.1:${one.broker.port}: ${OFFLINE}`);
    assert.not.ok(one.host.heard.all.some(({ kind }) => kind === 'NBIRTH'));
    await board.stop('test ends');
    await Promise.all([one.close(), two.close()]);
  },
  { timeoutMs: 40_000 },
);

const OFFLINE = 'the primary host "scada" is offline here';

test(
  'the primary host goes offline on the server in use: on to the next, none is skipped',
  async () => {
    // The clock of the second session of the host is behind the first one: it counts for its server alone.
    const hosts = [
      await brokerWith(true, 9_000),
      await brokerWith(true, 1_000),
      await brokerWith(true, 500),
    ] as const;
    const { session: board, notices } = waitingFor(hosts);
    board.update(SOLO);
    board.start();
    let told = 0;
    for (const [n, { host, broker, says }] of hosts.entries()) {
      await host.kind('NBIRTH');
      await says(false, 10_000 + n);
      await host.kind('NDEATH');
      const url = `mqtt://127.0.0.1:${broker.port}`;
      await notices.until((text) => text === `${url}: ${OFFLINE}`, told);
      told = notices.all.length;
    }
    // Round once more: what was heard at the first visit is forgotten.
    const before = hosts[0].host.heard.all.length;
    await hosts[0].says(true, 3_000);
    assert.is(bdSeqOf(await hosts[0].host.kind('NBIRTH', before)), 3);
    await board.stop('test ends');
    await Promise.all(hosts.map(({ close }) => close()));
  },
  { timeoutMs: 40_000 },
);

test(
  'a server that never heard of the primary host is left after a while',
  async () => {
    const [one, two] = [await brokerWith(undefined), await brokerWith(true)];
    const { session: board, notices } = waitingFor([one, two]);
    board.start();
    await two.host.kind('NBIRTH');
    assert.match(
      notices.all[0] as string,
      `${one.broker.port}: the primary host "scada" is not here`,
    );
    await board.stop('test ends');
    await Promise.all([one.close(), two.close()]);
  },
  { timeoutMs: 40_000 },
);

test(
  'two boards with the same group and node: each is told so, and neither hurries',
  async () => {
    const broker = await Mosquitto.start();
    const host = await Host.connect(broker);
    const boards = [session([at(broker)]), session([at(broker)])];
    for (const { session: board } of boards) board.start();
    const named = boards.map(({ notices }) => notices.until((text) => /same id/.test(text)));
    for (const text of await Promise.all(named)) assert.match(text, /group and node of this board/);
    const births = host.heard.all.filter(({ kind }) => kind === 'NBIRTH').length;
    assert.ok(births <= 12, `${births} births until it was known`);
    for (const { session: board } of boards) await board.stop('test ends');
    await host.client.endAsync(true);
    await broker.close();
  },
  { timeoutMs: 40_000 },
);

test(
  'a subscription that a dead connection still waits for does nothing to the next one',
  async () => {
    // Takes a connection, answers CONNECT, and nothing more.
    const sockets: Socket[] = [];
    const mute = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      socket.once('data', () => socket.write(Buffer.from([0x20, 2, 0, 0])));
    }).listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const { port } = mute.address() as { port: number };
    const [one, two] = [await brokerWith(undefined), await brokerWith(undefined)];
    const servers = [{ host: '127.0.0.1', port, isTls: false }, at(one.broker), at(two.broker)];
    const { session: board } = session(servers);
    board.start();
    while (sockets.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await once(sockets[0] as Socket, 'data');
    sockets[0]?.destroy();
    await one.host.kind('NBIRTH');
    assert.not.ok(
      two.host.heard.all.length > 0,
      'the server behind the dead one, not the next but one',
    );
    await board.stop('test ends');
    mute.close();
    await Promise.all([one.close(), two.close()]);
  },
  { timeoutMs: 40_000 },
);

test('what is no broker, and what has no password, in words; no number is used up', async () => {
  const web = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  }).listen(0, '127.0.0.1');
  const closer = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end());
  }).listen(0, '127.0.0.1');
  await Promise.all([web, closer].map((server) => once(server, 'listening')));
  const told = async (port: number, change: Partial<ScadaConfig> = {}) => {
    const notices = new Awaited<string>();
    const bdSeqFile = join(folder, `${files++}`);
    const servers = [{ host: '127.0.0.1', port, isTls: false }];
    const board = new ScadaSession({
      ...{ config: { ...config(servers), ...change }, bdSeqFile, wallMs: () => Date.now() },
      onNotice: (text) => notices.add(text),
    });
    board.start();
    const text = await notices.until(() => true);
    await board.stop('');
    return { text, isNumberUsed: existsSync(bdSeqFile) };
  };
  const portOf = (server: typeof web) => (server.address() as { port: number }).port;
  assert.match((await told(portOf(web))).text, 'does not speak MQTT');
  assert.match((await told(portOf(closer))).text, 'without a word on CONNECT');
  const passwordFile = join(folder, 'no-such-password');
  const login = { username: 'press', passwordFile };
  assert.equal(await told(portOf(web), { login }), {
    text: `mqtt://127.0.0.1:${portOf(web)}: ${passwordFile}: no such file or directory (ENOENT)`,
    isNumberUsed: false,
  });
  web.close();
  closer.close();
});

test('mutual TLS, and its troubles in words', async () => {
  const made = makeCertificates(folder);
  const broker = await Mosquitto.start({ tls: made });
  const told = async (tls: TlsFiles) => {
    const { session: board, notices } = session([at(broker, true)], tls);
    board.start();
    const text = await notices.until(() => true);
    await board.stop('');
    return text;
  };
  assert.match(await told({ ...made.board, ca: made.strangerCa }), /authority/);
  assert.match(
    await told({ ...made.board, cert: undefined, key: undefined }),
    /wants a certificate/,
  );
  const { session: board } = session([at(broker, true)], made.board);
  board.update(SOLO);
  board.start();
  while (board.node.phase !== 'born') await new Promise((resolve) => setTimeout(resolve, 5));
  await board.stop('test ends');
  await broker.close();
});

test.run();

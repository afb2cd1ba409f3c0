// What Home Assistant shows of a board, by its own rules (hass.ts), while agent, board and broker end in
// every way they can: an entity shows what is so, or that it is unavailable. The same is asked of Sparkplug
// and of the plain topic.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { introduce } from '../../firmware/scada/home-assistant.ts';
import {
  offline,
  type PlainStatus,
  shown,
  unreachable,
} from '../../firmware/scada/plain-status.ts';
import { REPEAT_MS } from '../../firmware/scada/plain-topic.ts';
import { ROLES } from '../../watchdog/arbiter-types.ts';
import { healthyStatus } from '../board/alarms/statuses.ts';
import { loneConfig } from '../board/lone-config.ts';
import { assert, repoPath, suite } from '../harness/index.ts';
import { Hass, hassOn } from './hass.ts';
import { Host } from './host.ts';
import { hasMosquitto, Mosquitto } from './mosquitto.ts';
import { Between, ShownBoard } from './shown-board.ts';

const test = suite('scada/home-assistant');
test.needs(hasMosquitto);

const folder = mkdtempSync(join(tmpdir(), 'twinstep-hass-'));
test.after(() => rmSync(folder, { recursive: true }));

const TOPIC = 'plain/board-a';
const KEYS = ['role', 'pairState', 'redundant', 'healthy', 'safeToRemove'];

function introduced(change: object = {}): { hass: Hass; later: (ms: number) => void } {
  let nowMs = 0;
  const hass = new Hass(() => nowMs);
  const { topic, payload } = introduce({
    ...{ group: 'plant', node: 'board-a', statusTopic: TOPIC, firmware: '1', repeatMs: REPEAT_MS },
  });
  hass.take(topic, JSON.stringify({ ...payload, ...change }));
  return {
    hass,
    later: (ms) => {
      nowMs += ms;
    },
  };
}

const says = (hass: Hass, said: PlainStatus) => hass.take(TOPIC, JSON.stringify(said));

/** Every message there is. */
function messages(): PlainStatus[] {
  const healthy = healthyStatus();
  const statuses = ROLES.flatMap((role) =>
    (['RUN-Redundant', 'RUN-Solo', 'SYNCUP', 'STARTUP', 'STOP'] as const).map((pairState) => ({
      ...healthy,
      ...{ role, pairState, health: { ok: role !== 'solo', words: ['x'] } },
      safeToRemove: { ok: role === 'backup', why: '' },
    })),
  );
  return [...statuses.map(shown), unreachable('it hangs'), offline('gone')];
}

const yesNo = (value: boolean | null) => (value === true ? 'on' : 'off');

test('whatever was said before, an entity shows what was said last, or that nothing is known', () => {
  const all = messages();
  const { hass } = introduced();
  assert.equal([...new Set(KEYS.map((key) => hass.state(key)))], ['unavailable'], 'at first');
  for (const before of all.filter((_, n) => n % 7 === 0 || n >= all.length - 2))
    for (const said of all) {
      says(hass, before);
      says(hass, said);
      const { role, pairState, redundant, healthy, safeToRemove } = said;
      const expected = said.reachable
        ? [role, pairState, yesNo(redundant), yesNo(healthy), yesNo(safeToRemove)]
        : KEYS.map(() => 'unavailable');
      assert.equal(
        KEYS.map((key) => hass.state(key)),
        expected,
      );
    }
});

test('a word that nobody takes back ends by itself, one that is repeated does not', () => {
  const { hass, later } = introduced();
  const said = shown(healthyStatus());
  for (let n = 0; n < 20; n++) {
    says(hass, said);
    later(REPEAT_MS * 1.5);
    assert.is(hass.state('redundant'), 'on');
  }
  later(REPEAT_MS * 2);
  assert.is(hass.state('redundant'), 'unavailable');
  hass.isConnected = false;
  says(hass, said);
  assert.is(hass.state('redundant'), 'unavailable', 'Home Assistant itself has no broker');
});

test('without availability the rules show what was: the evaluator can tell', () => {
  const { hass } = introduced({ availability: undefined });
  says(hass, shown(healthyStatus()));
  says(hass, { online: false } as PlainStatus);
  assert.is(hass.state('pairState'), 'RUN-Redundant');
  const two = [
    { topic: TOPIC, value_template: '{{ value_json.online }}' },
    { topic: TOPIC, value_template: "{{ 'online' if value_json.reachable else 'offline' }}" },
  ];
  const other = introduced({ availability: two }).hass;
  says(other, { ...shown(healthyStatus()), online: false });
  assert.is(other.state('redundant'), 'on', 'two entries of one topic are one');
});

class Agent {
  private process: ChildProcess | undefined;
  private readonly file: string;
  private readonly socket: string;

  constructor(port: number, socket: string) {
    this.socket = socket;
    this.file = join(folder, 'board.toml');
    const mqtt = [
      ...['[mqtt]', `servers = ["mqtt://127.0.0.1:${port}"]`, 'plaintext = "allowed"'],
      ...['group = "plant"', 'node = "board-a"', 'keepalive-s = 2'],
      ...[`status-topic = "${TOPIC}"`, 'home-assistant = "yes"'],
    ];
    writeFileSync(this.file, loneConfig({ host: 77, more: mqtt }));
  }

  start(): void {
    const program = repoPath('dist/firmware/cli/twinstep.js');
    const args = ['scada', '--config', this.file, '--keep', folder, '--socket', this.socket];
    this.process = spawn(process.execPath, [program, ...args], { stdio: 'ignore' });
  }

  async ends(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const { process: child } = this;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }
}

test(
  'agent, board, machine end in every way: nobody is told that all is well',
  async () => {
    const broker = await Mosquitto.start();
    const board = new ShownBoard(folder, 'board-a');
    await board.start();
    board.becomes('protected', 'RUN-Redundant');
    const toBoard = new Between(join(folder, 'between.sock'), board.path);
    const toBroker = new Between(undefined, { host: '127.0.0.1', port: broker.port });
    await once(toBroker.server, 'listening');
    const agent = new Agent(toBroker.port, join(folder, 'between.sock'));
    const host = await Host.connect(broker);
    const { hass, client } = await hassOn(broker);

    const well = async (what: string) => {
      while (hass.state('redundant') !== 'on')
        await hass.changes.until(() => true, hass.changes.all.length);
      assert.equal(
        KEYS.map((key) => hass.state(key)),
        ['PRIMARY', 'RUN-Redundant', 'on', 'on', 'off'],
        what,
      );
      await host.says('board-a', 'Pair/Redundant', true);
    };
    const gone = async (what: string) => {
      while (hass.state('redundant') !== 'unavailable')
        await hass.changes.until(() => true, hass.changes.all.length);
      assert.equal([...new Set(KEYS.map((key) => hass.state(key)))], ['unavailable'], what);
      const value = () => host.value('board-a', 'Pair/Redundant') ?? undefined;
      while (value() !== undefined) await host.heard.until(() => true, host.heard.all.length);
      const last = hass.changes.all.findLast((text) => text.startsWith(TOPIC)) as string;
      const said = JSON.parse(last.slice(TOPIC.length)) as PlainStatus;
      assert.equal(
        [said.online && said.reachable, said.redundant, said.healthy, said.safeToRemove],
        [false, null, null, null],
      );
    };

    agent.start();
    await well('at first');
    await agent.ends('SIGKILL');
    await gone('kill -9 of the agent');
    agent.start();
    await well('the agent is back');
    await board.dies();
    await gone('the board has died');
    await board.start();
    await well('the board is back');
    toBoard.hang(true);
    await gone('the board hangs');
    toBoard.hang(false);
    await well('the board goes on');
    toBroker.hang(true);
    await gone('the machine loses its power: no word, and no end of the connection');
    await agent.ends('SIGKILL');
    toBroker.hang(false);
    agent.start();
    await well('the machine is back');
    await agent.ends('SIGTERM');
    await gone('an ordered end');

    await Promise.all([client.endAsync(true), host.client.endAsync(true)]);
    await Promise.all([toBoard.close(), toBroker.close(), board.dies()]);
    await broker.close();
  },
  { timeoutMs: 90_000 },
);

test.run();

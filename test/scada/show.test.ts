// From a wrong certificate to the technician: a board and its agent as processes, and what the board's socket
// says of SCADA then.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlClient } from '../../firmware/board/control/client.ts';
import { READ_SOCKET } from '../../firmware/board/control/doors.ts';
import type { ScadaStatus } from '../../firmware/board/scada-desk.ts';
import { scadaScreen } from '../../firmware/console/scada-screen.ts';
import { loneConfig } from '../board/lone-config.ts';
import { assert, repoPath, suite } from '../harness/index.ts';
import { until } from '../watchdog/pty.ts';
import { hasMosquitto, Mosquitto, makeCertificates } from './mosquitto.ts';

const test = suite('scada/show');
test.needs(hasMosquitto);

const SOON_MS = 60_000;
const folder = mkdtempSync(join(tmpdir(), 'twinstep-show-'));
const children: ChildProcess[] = [];

test.after(async () => {
  for (const child of children) await ends(child);
  rmSync(folder, { recursive: true });
});

function start(script: string, ...args: string[]): ChildProcess {
  // The fourth is the board's: its end tells of its death.
  const stdio = ['ignore', 'ignore', 'ignore', 'pipe'] as const;
  const child = spawn(process.execPath, [repoPath(script), ...args], { stdio: [...stdio] });
  children.push(child);
  return child;
}

async function ends(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

test(
  'what is wrong with a broker is seen where the technician is, and that no agent runs',
  async () => {
    const made = makeCertificates(folder);
    const broker = await Mosquitto.start({ tls: made });
    const file = join(folder, 'board.toml');
    const mqtt = [
      ...['[mqtt]', `servers = ["mqtts://127.0.0.1:${broker.port}"]`],
      ...[`ca = "${made.strangerCa}"`, `cert = "${made.board.cert}"`, `key = "${made.board.key}"`],
    ];
    const port = 20_000 + (process.pid % 20_000);
    writeFileSync(join(folder, 'key'), new Uint8Array(32).fill(3), { mode: 0o600 });
    writeFileSync(join(folder, 'kernel'), '');
    writeFileSync(
      file,
      loneConfig({ host: 91, port, more: ['[watchdog]', 'kind = "none"', ...mqtt] }),
    );
    start('dist/test/board/fake-board.js', file);
    let client: ControlClient | undefined;
    const open = async () => {
      try {
        client = await ControlClient.open(join(folder, 'state', READ_SOCKET));
      } catch {
        // Not yet.
      }
    };
    for (const untilMs = performance.now() + SOON_MS; client === undefined; await open())
      assert.ok(performance.now() < untilMs, 'the board starts');
    let scada: ScadaStatus | null = null;
    client.onTold = ({ status }) => {
      scada = status?.scada ?? scada;
    };
    await client.ask({ do: 'subscribe', statusEveryMs: 100 });
    const shown = () => scadaScreen(scada);
    await until('no agent', () => shown().includes('agent      ABSENT'), SOON_MS);
    start('dist/firmware/cli/twinstep.js', 'scada', '--config', file);
    const words = /not connected for \d+ s\n +\d+ s ago: the broker's certificate is not of the/;
    await until('the certificate', () => words.test(shown()), SOON_MS);
    assert.match(shown(), /^SCADA {6}NOT REACHED for \d+ s\nwhy {8}Sparkplug: mqtts:/);
    assert.match(shown(), `> mqtts://127.0.0.1:${broker.port}`);
    client.close();
    await broker.close();
  },
  { timeoutMs: 180_000 },
);

test.run();

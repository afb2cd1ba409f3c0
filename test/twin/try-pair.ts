// Two real boards in namespaces with the small controller as guest, for looking at by hand.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { ControlClient } from '../../firmware/board/control/client.ts';
import type { Status } from '../../firmware/board/status.ts';
import { GenerationStore } from '../../watchdog/generation-store.ts';
import { repoPath } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { buildGuest } from '../softcpu/guest.ts';
import { BOARD_IP, GATEWAY_IP, GUEST_MAC, Network, SIDES, type Side, TAP } from './network.ts';
import { SerialCable } from './serial-cable.ts';

await enterNamespace();
const network = await Network.make();
const cable = await SerialCable.make();
const folder = process.env.PAIR_FOLDER ?? '/tmp/int/pair';
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
writeFileSync(`${folder}/key`, new Uint8Array(32).fill(7), { mode: 0o600 });
const kernel = process.env.PAIR_KERNEL ?? buildGuest('plc');
const extra = process.env.PAIR_GUEST ?? 'append = ""\nmemory-mib = 8';
for (const side of SIDES) {
  writeFileSync(`${folder}/disk-${side}.img`, new Uint8Array(4 << 20));
  const other = side === 'a' ? 'b' : 'a';
  writeFileSync(
    `${folder}/${side}.toml`,
    `[board]
name = "board-${side}"
side = "${side}"
state-dir = "state-${side}"
pairing-key-file = "key"
events-file = "events-${side}.jsonl"
[log]
interface = "log0"
[serial]
port = "${cable.paths[side]}"
[front]
interface = "br0"
bind = "${BOARD_IP[side]}"
peer = "${BOARD_IP[other]}"
gateway = "${GATEWAY_IP}"
[watchdog]
kind = "stand-in"
[guest]
kernel = "${kernel}"
tap = "${TAP}"
mac = "${GUEST_MAC}"
disks = "disk-${side}.img"
${extra}
[limits]
seek-ms = 1500
watchdog-timeout-ms = 2000
pet-ms = 200
`,
  );
}
new GenerationStore(`${folder}/state-a`).load(1_000);
new GenerationStore(`${folder}/state-a`).restore({ generation: 4, standing: 'sole' });

const cli = repoPath('dist/firmware/cli/twinstep.js');
const boards = { a: start('a'), b: start('b') };
function start(side: Side) {
  const child = network.boards[side].spawn(
    process.execPath,
    '--enable-source-maps',
    ...(process.env.PAIR_NODE?.split(' ') ?? []),
    cli,
    'board',
    '--config',
    `${folder}/${side}.toml`,
  );
  child.stdout?.on('data', (bytes: Buffer) => {
    for (const line of String(bytes).trim().split('\n')) {
      try {
        const { code, text, monoMs } = JSON.parse(line);
        if (code !== 'REIGN-WRITTEN') console.log(`${Math.round(monoMs)} ${side} ${code}: ${text}`);
      } catch {
        console.log(side, line);
      }
    }
  });
  return child;
}

async function status(side: Side): Promise<Status | null> {
  try {
    const client = await ControlClient.open(`${folder}/state-${side}/control.sock`);
    const found = await client.status();
    client.close();
    return found;
  } catch {
    return null;
  }
}
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
async function until(what: string, test: () => Promise<boolean>, withinMs = 20_000) {
  const begun = performance.now();
  while (!(await test())) {
    if (performance.now() - begun > withinMs) {
      console.log(`NOT: ${what}`);
      for (const side of SIDES) console.log(JSON.stringify(await status(side)));
      return false;
    }
    await sleep(20);
  }
  console.log(`--- ${what} after ${Math.round(performance.now() - begun)} ms`);
  return true;
}
const redundant = async () =>
  (await status('a'))?.pairState === 'RUN-Redundant' &&
  (await status('b'))?.pairState === 'RUN-Redundant';
const pidOf = async (side: Side) => (await status(side))?.board.pid ?? 0;
async function ask(side: Side, request: { do: string; [field: string]: unknown }) {
  const client = await ControlClient.open(`${folder}/state-${side}/control.sock`);
  console.log('>>>', side, JSON.stringify(request), JSON.stringify(await client.ask(request)));
  client.close();
}

if (await until('redundant', redundant, Number(process.env.PAIR_WAIT ?? 30_000))) {
  await sleep(1_000);
  for (const side of SIDES) {
    const now = await status(side);
    console.log(
      side,
      JSON.stringify({
        guest: now?.guest,
        lag: now?.lagMs,
        kbps: now?.logKbps,
        link: now?.link,
        ticks: now?.ticks,
        gate: now?.gate,
      }),
    );
  }
  for (const step of (process.env.PAIR_STEPS ?? 'switch kill log').split(' ')) {
    const leads = ((await status('a'))?.gate.mode === 'closed' ? 'b' : 'a') as Side;
    console.log(`=== ${step}, ${leads} leads`);
    if (step === 'switch') await ask(leads, { do: 'switch-over' });
    if (step === 'kill') process.kill(await pidOf(leads), 'SIGKILL');
    if (step === 'hang') process.kill(await pidOf(leads), 'SIGSTOP');
    if (step === 'log') network.pull('log', 'a');
    if (step === 'wait') await sleep(Number(process.env.PAIR_SLEEP ?? 8_000));
    if (step === 'test') await ask(leads, { do: 'test-failover' });
    await sleep(step === 'log' ? 700 : 200);
    if (step === 'log') await network.mend('log', 'a');
    if (!(await until(`redundant after ${step}`, redundant))) break;
    await sleep(500);
    for (const side of SIDES) {
      const now = await status(side);
      if (now?.lastTakeover)
        console.log(side, JSON.stringify(now.lastTakeover), JSON.stringify(now.ticks));
    }
  }
}
for (const side of SIDES) boards[side].kill('SIGTERM');
await sleep(1_500);
cable.close();
await network.close();
process.exit(0);

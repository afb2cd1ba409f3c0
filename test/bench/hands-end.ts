// One board's hands as a program of its own, for the benches, with a short script for the arbiter.
//   hands-end IFACE lead KERNEL MEMORYMIB COUNT    boots, syncs the other end up, asks COUNT times
//   hands-end IFACE follow KERNEL MEMORYMIB        until the leader has gone
// The leader prints the sync-up's report and how long outputs waited, in milliseconds.
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { BoardHands } from '../../firmware/board/hands/hands.ts';
import type { HandsPlan } from '../../firmware/board/hands/plan.ts';
import type { Reign } from '../../firmware/board/hands/types.ts';
import type { WorldEvents } from '../../firmware/host/world.ts';
import { Channel } from '../../logchan/channel.ts';
import { RingPort } from '../../logchan/ring-port.ts';
import type { ArbiterEvent, Role } from '../../watchdog/arbiter-types.ts';
import { quantile } from './frame.ts';

const [interfaceName = '', mode, kernel = '', memoryMib = '8', count = '0'] = process.argv.slice(2);
const GRANT = { boot: 2, session: 1 };
const plan: HandsPlan = {
  engine: 'soft',
  ...{ kernel, initrd: undefined, append: '', memoryBytes: Number(memoryMib) << 20 },
  nics: [],
  disks: [],
  com1: { kind: 'none' },
  com2: { kind: 'none' },
  onPowerOff: 'stop',
};

let wake: () => void = () => {};
let world: WorldEvents | undefined;
let said = '';
const events: ArbiterEvent['type'][] = [];
const until = async (isSo: () => boolean) => {
  while (!isSo()) {
    await new Promise<void>((resolve) => {
      wake = resolve;
      setTimeout(resolve, 20);
    });
  }
};

const hands = await BoardHands.open({
  plan,
  makeChannel: (handler) =>
    new Channel({
      pairingKey: new Uint8Array(32).fill(1),
      cluster: 'bench',
      port: new RingPort({ interface: interfaceName }),
      handler,
    }),
  openOutside: async (_spec, worldEvents) => {
    world = worldEvents;
    return {
      start: () => {},
      deliver: (outputs) => {
        for (const output of outputs) {
          if (output.kind === 'serial-tx') said += Buffer.from(output.bytes).toString('latin1');
        }
        wake();
      },
      serialTaken: () => {},
      close: async () => {},
    };
  },
  events: {
    arbiter: ({ type }) => {
      events.push(type);
      wake();
    },
    statement: () => {},
    event: ({ code, text }) => void process.stderr.write(`${code} ${text}\n`),
  },
});

function is(role: Role, more: Partial<Reign> = {}): void {
  const boot = mode === 'lead' ? 1 : GRANT.boot;
  const base = { boot, generation: 1, session: GRANT.session, grant: null } as const;
  hands.reign({ role, pairState: 'SYNCUP', ...base, ...more });
}

async function lead(): Promise<void> {
  is('promoting');
  hands.bootGuest();
  is('solo');
  hands.gate('open');
  await until(() => said.includes('!'));
  await until(() => hands.link.isUp);
  is('source');
  const stalls = monitorEventLoopDelay({ resolution: 1 });
  stalls.enable();
  hands.syncSource(GRANT);
  await until(() => events.includes('sync-done'));
  stalls.disable();
  hands.gate('acked');
  is('protected', { grant: GRANT });
  hands.markLog('grant', GRANT);
  hands.outlet.delaysMs.length = 0;
  for (let i = 0; i < Number(count); i++) {
    const before = said.length;
    const bytes = Uint8Array.of(48 + (i % 10));
    world!.onInputs([{ kind: 'serial-rx', port: 'com1', bytes }]);
    await until(() => said.length > before);
  }
  const delays = hands.outlet.delaysMs.slice();
  const { p50, p99 } = { p50: quantile(delays, 0.5), p99: quantile(delays, 0.99) };
  const bytes = hands.link.bulkBytes;
  console.log(JSON.stringify({ ...hands.leading.lastSync, bytes, p50, p99, ...stallsOf(stalls) }));
  await hands.close();
}

const stallsOf = (stalls: IntervalHistogram) => ({
  stallMs99: stalls.percentile(99) / 1e6,
  stallMsMax: stalls.max / 1e6,
});

async function follow(): Promise<void> {
  is('target');
  hands.syncTarget(GRANT.session);
  process.stderr.write('ready\n');
  await until(() => events.includes('marked'));
  is('backup');
  await until(() => events.includes('path-down'));
  await hands.close();
}

await (mode === 'lead' ? lead() : follow());

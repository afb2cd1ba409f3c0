// One board's replication as a program of its own, for the benches, with a short script for the arbiter.
//   replication-end IFACE lead KERNEL MEMORYMIB COUNT    boots, syncs the other end up, asks COUNT times
//   replication-end IFACE follow KERNEL MEMORYMIB        until the leader has gone, in step twice
// The leader prints the sync-up's report and how long outputs waited, in milliseconds.
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { GuestPlan } from '../../firmware/board/config/types.ts';
import { GuestReplication } from '../../firmware/board/replication/replication.ts';
import type { CurrentRole } from '../../firmware/board/replication/types.ts';
import type { BackendEvents } from '../../firmware/host/backends.ts';
import { Channel } from '../../logchan/channel.ts';
import { RingPort } from '../../logchan/ring-port.ts';
import type { ArbiterEvent, Role } from '../../watchdog/arbiter-types.ts';
import { quantile } from './frame.ts';

const [interfaceName = '', mode, kernel = '', memoryMib = '8', count = '0'] = process.argv.slice(2);
const GRANT = { boot: 2, session: 1 };
const plan: GuestPlan = {
  engine: 'soft',
  ...{ kernel, initrd: undefined, append: '', memoryBytes: Number(memoryMib) << 20 },
  nics: [],
  disks: [],
  com1: { kind: 'none' },
  com2: { kind: 'none' },
  onPowerOff: 'stop',
};

let wake: () => void = () => {};
let outside: BackendEvents | undefined;
let said = '';
const events: ArbiterEvent['type'][] = [];
const codes: string[] = [];
const until = async (isSo: () => boolean) => {
  while (!isSo()) {
    await new Promise<void>((resolve) => {
      wake = resolve;
      setTimeout(resolve, 20);
    });
  }
};

const replication = await GuestReplication.open({
  plan,
  makeChannel: (handler) =>
    new Channel({
      pairingKey: new Uint8Array(32).fill(1),
      cluster: 'bench',
      paths: [{ port: new RingPort({ interface: interfaceName }) }],
      handler,
    }),
  openBackends: async (_spec, backendEvents) => {
    outside = backendEvents;
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
    event: ({ code, text }) => {
      codes.push(code);
      process.stderr.write(`${code} ${text}\n`);
      wake();
    },
  },
});

function is(role: Role, more: Partial<CurrentRole> = {}): void {
  const boot = mode === 'lead' ? 1 : GRANT.boot;
  const base = { boot, generation: 1, session: GRANT.session, grant: null } as const;
  replication.tellRole({ role, pairState: 'SYNCUP', ...base, ...more });
}

async function lead(): Promise<void> {
  is('promoting');
  replication.bootGuest();
  is('solo');
  replication.gate('open');
  await until(() => said.includes('!'));
  await until(() => replication.link.isUp);
  is('source');
  const stalls = monitorEventLoopDelay({ resolution: 1 });
  stalls.enable();
  replication.syncSource(GRANT);
  await until(() => events.includes('sync-done'));
  stalls.disable();
  replication.gate('acked');
  is('protected', { grant: GRANT });
  replication.markLog('grant', GRANT);
  replication.guestOutput.delaysMs.length = 0;
  for (let i = 0; i < Number(count); i++) {
    const before = said.length;
    const bytes = Uint8Array.of(48 + (i % 10));
    outside!.onInputs([{ kind: 'serial-rx', port: 'com1', bytes }]);
    await until(() => said.length > before);
  }
  const delays = replication.guestOutput.delaysMs.slice();
  const { p50, p99 } = { p50: quantile(delays, 0.5), p99: quantile(delays, 0.99) };
  const bytes = replication.link.bulkBytes;
  console.log(
    JSON.stringify({
      ...{ ...replication.leading.lastSync, bytes, p50, p99, ...stallsOf(stalls) },
      again: await again(),
    }),
  );
  await replication.close();
}

/** The follower is let go, and brought into step once more with the memory that it had. */
async function again(): Promise<Record<string, unknown>> {
  const grant = { ...GRANT, session: GRANT.session + 1 };
  events.length = 0;
  replication.leading.stream.break();
  await until(() => codes.includes('LOG-TROUBLE'));
  is('soloing');
  replication.syncStop();
  replication.gate('open');
  is('source');
  const beganMs = performance.now();
  replication.syncSource(grant);
  await until(() => events.includes('sync-done'));
  return { ...replication.leading.lastSync, inStepMs: performance.now() - beganMs };
}

const stallsOf = (stalls: IntervalHistogram) => ({
  stallMs99: stalls.percentile(99) / 1e6,
  stallMsMax: stalls.max / 1e6,
});

async function follow(): Promise<void> {
  is('target');
  replication.syncTarget(GRANT.session);
  process.stderr.write('ready\n');
  await until(() => events.includes('marked'));
  is('backup');
  await until(() => events.includes('diverged') || events.includes('path-down'));
  is('seeking');
  replication.discardGuest();
  await until(() => events.includes('guest-discarded'));
  is('target', { session: GRANT.session + 1 });
  replication.syncTarget(GRANT.session + 1);
  await until(() => events.includes('path-down'));
  await replication.close();
}

await (mode === 'lead' ? lead() : follow());

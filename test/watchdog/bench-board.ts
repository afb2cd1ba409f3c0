// A board in miniature for watchdog tests, run as a process of its own: the real arbiter, the real
// health verdict, the real stand-in watchdog. `bench-board MODE STATUS_FILE TIMEOUT_MS` fails in the
// way MODE names after a while; `healthy` ends in order.
import { arbitrate, initialState } from '../../watchdog/arbiter.ts';
import type { ArbiterEvent } from '../../watchdog/arbiter-types.ts';
import { BenchWatchdog } from '../../watchdog/bench-watchdog.ts';
import { Health } from '../../watchdog/health.ts';
import { DEFAULT_LIMITS } from '../../watchdog/limits.ts';

const [mode = '', statusFile = '', timeoutText = ''] = process.argv.slice(2);
const TICK_MS = 5;
const FAILS_AFTER_MS = 300;
const timeoutMs = Number(timeoutText);

const dog = new BenchWatchdog({ group: process.pid, timeoutMs, statusFile });
const armed = await dog.arm();
if (!armed.ok) throw new Error(armed.why);
console.log(JSON.stringify({ caused: armed.facts.causedLastReset, dog: dog.pid }));

const begunMs = performance.now();
const limits = { ...DEFAULT_LIMITS, petMs: 40 };
const health = new Health({ loopLagMs: 500, vcpuStuckMs: 150, diskMs: 150 }, begunMs);
let state = initialState(
  { id: 'a', limits, witness: 'gateway', allowNoWatchdog: false, syncAllowed: true },
  begunMs,
);
let position = 0n;
let pets = 0;

function fire(event: ArbiterEvent): void {
  const outcome = arbitrate(state, event, performance.now());
  state = outcome.state;
  for (const action of outcome.actions) {
    if (action.do !== 'pet') continue;
    pets += 1;
    dog.pet();
  }
}

fire({ type: 'watchdog', armed: true });
fire({ type: 'loaded', boot: 1, record: { generation: 1, standing: 'sole' } });
const timer = setInterval(() => {
  const nowMs = performance.now();
  const failing = nowMs - begunMs > FAILS_AFTER_MS;
  if (mode === 'blocked-loop' && failing) for (;;);
  if (!(mode === 'stuck-vcpu' && failing)) position += 1n;
  health.loop(nowMs, TICK_MS);
  health.vcpu(position, true, nowMs);
  if (mode === 'dead-disk' && failing) health.diskBegins(nowMs);
  fire({ type: 'health', ok: health.verdict(nowMs).ok });
  fire({ type: 'tick' });
  if (mode !== 'healthy' || nowMs - begunMs < timeoutMs * 3) return;
  clearInterval(timer);
  void dog.close().then(() => console.log(JSON.stringify({ pets })));
}, TICK_MS);

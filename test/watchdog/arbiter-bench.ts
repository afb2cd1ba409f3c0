// Benches for single arbiters: a board with a peer that says what the test wants.
import { arbitrateWith, initialState, pairState } from '../../watchdog/arbiter.ts';
import type {
  Action,
  ArbiterConfig,
  ArbiterEvent,
  ArbiterState,
  OperatorRequest,
  Statement,
} from '../../watchdog/arbiter-types.ts';
import { DEFAULT_LIMITS } from '../../watchdog/limits.ts';
import type { RuleName } from '../../watchdog/rules.ts';
import { assert } from '../harness/index.ts';

const CONFIG: ArbiterConfig = {
  id: 'a',
  limits: DEFAULT_LIMITS,
  witness: 'gateway',
  allowNoWatchdog: false,
  syncAllowed: true,
};

/** A board under test: events in, the actions of the last event kept. */
export class Bench {
  state: ArbiterState;
  nowMs = 0;
  actions: readonly Action[] = [];
  readonly off: Set<RuleName>;

  constructor(config: Partial<ArbiterConfig> = {}, off: RuleName[] = []) {
    this.state = initialState({ ...CONFIG, ...config }, 0);
    this.off = new Set(off);
  }
  fire(event: ArbiterEvent): this {
    const outcome = arbitrateWith(this.off, this.state, event, this.nowMs);
    this.state = outcome.state;
    this.actions = outcome.actions;
    return this;
  }
  /** Ticks on, hearing on the named paths what the peer says, and the witness if asked. */
  pass(
    ms: number,
    hear: { paths?: ('log' | 'serial' | 'front')[]; says?: Statement; witness?: boolean } = {},
  ): this {
    for (const end = this.nowMs + ms; this.nowMs < end; ) {
      this.nowMs += 5;
      for (const path of hear.paths ?? []) {
        if (hear.says) this.fire({ type: 'heard', path, statement: this.fresh(hear.says) });
      }
      if (hear.witness) this.fire({ type: 'witness-answered' });
      this.fire({ type: 'tick' });
    }
    return this;
  }
  fresh(says: Statement): Statement {
    this.seq += 1;
    return { ...says, seq: this.seq, echoBoot: this.state.boot, echoSeq: this.state.seq };
  }
  seq = 1000;
  request(asked: OperatorRequest): string {
    this.fire({ type: 'request', ...asked });
    const refusal = this.actions.find((action) => action.do === 'refuse');
    return refusal?.do === 'refuse' ? refusal.why : 'accepted';
  }
}

export const PEER: Statement = {
  boot: 7,
  seq: 1,
  role: 'protected',
  generation: 4,
  standing: 'shared',
  session: 0,
  grant: null,
  spent: null,
  wantsRenounce: false,
  ready: true,
  hears: { log: true, serial: true, front: true },
  witness: true,
  echoBoot: 0,
  echoSeq: 0,
};
const ALL_PATHS = ['log', 'serial', 'front'] as const;
export const all = { paths: [...ALL_PATHS], witness: true };

/** A board in step under PEER, boot 3. */
export function backup(
  config: Partial<ArbiterConfig> = {},
  off: RuleName[] = [],
): { bench: Bench; says: Statement } {
  const bench = new Bench(config, off);
  bench.fire({ type: 'watchdog', armed: true });
  bench.fire({ type: 'loaded', boot: 3, record: { generation: 4, standing: 'behind' } });
  bench.pass(50, { ...all, says: { ...PEER, role: 'solo', standing: 'sole' } });
  assert.is(bench.state.role, 'target');
  const says = { ...PEER, grant: { boot: 3, session: bench.state.session } };
  bench.fire({ type: 'marked', mark: 'grant', session: bench.state.session });
  bench.pass(10, { ...all, says });
  assert.is(bench.state.role, 'backup');
  return { bench, says };
}

/** A protected primary, boot 3 generation 4, whose peer of boot 7 is in step. */
export function primary(
  config: Partial<ArbiterConfig> = {},
  off: RuleName[] = [],
): { bench: Bench; says: Statement } {
  const bench = new Bench(config, off);
  bench.fire({ type: 'watchdog', armed: true });
  bench.fire({ type: 'loaded', boot: 3, record: { generation: 3, standing: 'sole' } });
  bench.pass(50, { ...all, says: { ...PEER, role: 'seeking', generation: 3, standing: 'behind' } });
  bench.fire({ type: 'persisted', record: { generation: 4, standing: 'sole' } });
  assert.is(bench.state.role, 'solo');
  const follower: Statement = { ...PEER, role: 'target', standing: 'behind', session: 2 };
  bench.pass(10, { ...all, says: follower });
  bench.fire({ type: 'sync-done', partner: { boot: 7, session: 2 } });
  bench.fire({ type: 'persisted', record: { generation: 4, standing: 'shared' } });
  const says: Statement = { ...follower, role: 'backup' };
  bench.pass(10, { ...all, says });
  assert.is(bench.state.role, 'protected');
  assert.is(pairState(bench.state), 'RUN-Redundant');
  return { bench, says };
}

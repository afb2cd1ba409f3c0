// Scenario files: prose, moves, `----`, the expected trace. A found counterexample becomes one, and
// a person can write one. Lines before the first move:
//   # prose
//   from redundant            where it starts (cold, syncing, redundant)
//   without RULE: WORDS       the same moves with this rule off end in this violation
import { RULES, type RuleName } from '../../../watchdog/rules.ts';
import { firstWorld, type Task } from './explore.ts';
import { describe, play, repairAll, run } from './moves.ts';
import { redundant } from './world.ts';
import type { World } from './world-types.ts';

export interface Scenario {
  readonly from: Task['from'];
  readonly without: readonly { rule: RuleName; violation: string }[];
  readonly moves: readonly string[];
  readonly head: string;
  readonly expected: string;
}

const PLENTY = { faults: 100, words: 100, losses: 100, delays: 100 };

export function parseScenario(text: string): Scenario {
  const [head = '', expected = ''] = text.split('----\n');
  const lines = head.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  let from: Task['from'] = 'redundant';
  const without: { rule: RuleName; violation: string }[] = [];
  const moves: string[] = [];
  for (const line of lines) {
    const broken = /^without ([a-z-]+): (.*)$/.exec(line);
    const begin = /^from (cold|syncing|redundant)$/.exec(line);
    if (begin !== null) from = begin[1] as Task['from'];
    else if (broken === null) moves.push(line.trim());
    else {
      const [, rule = '', violation = ''] = broken;
      if (!(rule in RULES)) throw new Error(`no rule is called ${rule}`);
      without.push({ rule: rule as RuleName, violation });
    }
  }
  return { from, without, moves, head, expected };
}

/** The trace with the given rules off. Moves that a healthy run does not offer are passed over. */
export function playScenario(scenario: Scenario, rulesOff: ReadonlySet<RuleName>) {
  const model = { rulesOff, witness: 'gateway' } as const;
  let world = firstWorld({ model, budget: PLENTY, from: scenario.from });
  const lines = [line(world, '')];
  for (const move of scenario.moves) {
    if (possible(world, move)) world = play(model, world, move);
    lines.push(line(world, move));
  }
  const violation = world.violation;
  world = run(model, repairAll(model, world), 50);
  return {
    trace: `${lines.join('\n')}\n`,
    violation,
    later: world.violation,
    heals: redundant(world),
  };
}

/** With all rules on, a story made with one off may lack a write or a message; it goes on without. */
function possible(world: World, move: string): boolean {
  const [verb, name, path] = move.split(' ');
  const side = name === 'a' ? 0 : 1;
  const board = world.boards[side];
  if (verb === 'written') return board.up && board.arbiter.writing !== null;
  if (verb === 'tick' || verb === 'deliver') return board.up && !board.hung;
  if (verb === 'lose') return world.queues[side][path as 'log'].length > 0;
  if (verb === 'start') return !board.up;
  if (verb === 'slander') return board.up;
  return true;
}

function line(world: World, move: string): string {
  return `${String(world.unit).padStart(4)}  ${move.padEnd(18)} ${describe(world)}`.trimEnd();
}

// Breadth-first exploration of every world reachable under a budget, to the end. Finds the shortest
// counterexample. Beside safety (checked inside the world after every step) it checks from every
// world reached: with all repaired the pair becomes redundant again; after one fault someone serves.
import { EDGES, type Edge } from '../../../watchdog/transitions.ts';
import { edgesTaken } from './board-step.ts';
import { keyOf } from './canonical.ts';
import { describe, fairUnit, type Menu, movesOf, play, repairAll, run } from './moves.ts';
import { redundant, serves, start } from './world.ts';
import { type Budget, coldBoard, type Model, newWorld, SIDES, type World } from './world-types.ts';

export interface Task {
  readonly model: Model;
  readonly menu: Menu;
  readonly budget: Budget;
  /** `cold`: both boards start with the records of a new pair; the others: how far that has gone. */
  readonly from: 'cold' | 'syncing' | 'redundant';
  readonly statesMax: number;
  readonly liveness: boolean;
}

export interface Found {
  readonly what: string;
  readonly moves: readonly string[];
}

export interface Report {
  readonly states: number;
  readonly steps: number;
  readonly depth: number;
  /** False: stopped at `statesMax`, not at the end. */
  readonly complete: boolean;
  readonly healed: number;
  readonly edges: ReadonlySet<string>;
  readonly found: Found | null;
}

const NO_BUDGET: Budget = { faults: 0, words: 0, losses: 0, delays: 0 };
const FAIR_UNITS_MAX = 60;

export function firstWorld(task: Pick<Task, 'model' | 'budget' | 'from'>): World {
  const { model } = task;
  const a = coldBoard(0, { generation: 1, standing: 'sole' }, 0, model);
  // Wiped and started anew, a has the number of its first start again, b a lower one.
  const b = { ...coldBoard(1, { generation: 1, standing: 'behind' }, -1, model), boot: 2 };
  let world = newWorld([a, b], NO_BUDGET, model.overFront ?? false);
  for (const side of SIDES) world = start(model, world, side);
  while (task.from === 'syncing' && world.boards[0].arbiter.role !== 'source') {
    world = run(model, world, 1);
  }
  if (task.from === 'redundant') world = run(model, world, 12);
  if (task.from === 'redundant' && !redundant(world)) throw new Error('the pair did not form');
  return { ...world, budget: task.budget };
}

/** Keys without objects: open addressing over doubles. */
class KeySet {
  private slots = new Float64Array(1 << 16).fill(-1);
  size = 0;

  /** False if it was there. */
  add(key: number): boolean {
    if (this.size * 2 > this.slots.length) this.grow();
    if (!insert(this.slots, key)) return false;
    this.size += 1;
    return true;
  }
  has(key: number): boolean {
    return !insert(this.slots, key, false);
  }
  private grow(): void {
    const larger = new Float64Array(this.slots.length * 2).fill(-1);
    for (const key of this.slots) if (key >= 0) insert(larger, key);
    this.slots = larger;
  }
}

/** False if the key is there already; writes it unless told not to. */
function insert(slots: Float64Array, key: number, write = true): boolean {
  const mask = slots.length - 1;
  for (let at = (key % 4294967291) & mask; ; at = (at + 1) & mask) {
    if (slots[at] === key) return false;
    if (slots[at] === -1) {
      if (write) slots[at] = key;
      return true;
    }
  }
}

interface Node {
  readonly world: World;
  readonly index: number;
}

export function explore(task: Task): Report {
  const { model, menu } = task;
  const seen = new KeySet();
  const good = new KeySet();
  const parents: number[] = [-1];
  const labels: string[] = [''];
  edgesTaken.clear();
  let steps = 0;
  let depth = 0;
  let found: Found | null = null;
  const begin = firstWorld(task);
  seen.add(keyOf(begin));
  let layer: Node[] = [{ world: begin, index: 0 }];
  const trail = (index: number): string[] => {
    const moves: string[] = [];
    for (let at = index; at > 0; at = parents[at] ?? 0) moves.unshift(labels[at] ?? '');
    return moves;
  };

  while (layer.length > 0 && found === null && seen.size < task.statesMax) {
    const next: Node[] = [];
    depth += 1;
    for (const { world, index } of layer) {
      for (const move of movesOf(world, menu)) {
        const after = play(model, world, move);
        steps += 1;
        if (after.violation !== null) {
          return report({ what: after.violation, moves: [...trail(index), move] }, false);
        }
        if (!seen.add(keyOf(after))) continue;
        parents.push(index);
        labels.push(move);
        next.push({ world: after, index: parents.length - 1 });
        const wrong =
          task.liveness && /^(advance|unit)/.test(move) ? livenessOf(task, after, good) : null;
        if (wrong !== null) {
          return report({ what: wrong, moves: trail(parents.length - 1) }, false);
        }
      }
      if (seen.size >= task.statesMax) break;
    }
    layer = next;
  }
  return report(found, layer.length === 0);

  function report(what: Found | null, complete: boolean): Report {
    found = what;
    return {
      states: seen.size,
      steps,
      depth,
      complete,
      healed: good.size,
      edges: new Set(edgesTaken),
      found,
    };
  }
}

export function untaken(edges: ReadonlySet<string>): Edge[] {
  return EDGES.filter(([from, to]) => !edges.has(`${from} ${to}`));
}

/** Words for what is wrong, or null. */
function livenessOf(task: Task, world: World, good: KeySet): string | null {
  const { model, budget } = task;
  const left = world.budget.faults + world.budget.words;
  const used = budget.faults + budget.words - left;
  if (task.from === 'redundant' && used === 1) {
    const lost = comesTo(model, world, someoneServes, good, 1);
    if (lost !== null) return lost === '' ? 'one fault, and in the end nobody serves' : lost;
  }
  const stuck = comesTo(model, repairAll(model, world), redundant, good, 2);
  return stuck === '' ? 'all is repaired, and no redundancy' : stuck;
}

const someoneServes = (world: World) => SIDES.some((side) => serves(world, side));

/** Null if the fair run from here reaches the goal; a violation on the way; '' if it never does. */
function comesTo(
  model: Model,
  world: World,
  goal: (world: World) => boolean,
  good: KeySet,
  salt: number,
): string | null {
  let now: World = { ...world, budget: NO_BUDGET };
  const passed: number[] = [];
  for (let unit = 0; ; unit++) {
    if (now.violation !== null) return `${now.violation} (in the fair run that follows)`;
    if (unit === FAIR_UNITS_MAX) return '';
    const key = keyOf(now) + salt;
    if (good.has(key)) break;
    passed.push(key);
    // Held for a while, not touched once: a gate about to close does not count.
    if (goal(now) && goal(run(model, now, 8))) break;
    now = fairUnit(model, now);
    for (const side of SIDES) {
      // A board that asked its watchdog for a reset comes back.
      if (salt === 2 && !now.boards[side].up) now = start(model, now, side);
    }
  }
  for (const key of passed) good.add(key);
  return null;
}

/** A counterexample for people: the moves, and after each unit what the boards are. */
export function transcript(task: Pick<Task, 'model' | 'budget' | 'from'>, found: Found): string {
  let world = firstWorld(task);
  const lines = [`${found.what}:`, `     ${describe(world)}`];
  for (const move of found.moves) {
    world = play(task.model, world, move);
    lines.push(`${String(world.unit).padStart(4)} ${move.padEnd(22)} ${describe(world)}`);
  }
  return lines.join('\n');
}

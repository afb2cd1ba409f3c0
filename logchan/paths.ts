// Which of a session's paths carries what we send. Each end chooses for itself, in order of preference:
//
//                 carrier lost, one other has one
//   ┌──────────┐ ───────────────────────────────────────────────▶ ┌─────────────┐
//   │ one path │  lost or no answer, several    ┌───────────┐     │ another one │
//   │ carries  │ ──────────────────────────────▶│ searching │────▶│ carries     │
//   └──────────┘                                └───────────┘     └─────────────┘
//        ▲                                      the first that answers   │
//        └────── a better one has been good for PATH_GOOD_US ────────────┘
//
// While searching, everything goes over each path that has a carrier. An answer that comes a moment after
// the first still counts, so a board that was only slow stays where it was. Paths that carry nothing are
// asked now and then. Pure; what a verdict means for data under way is the session's affair.
import { assert } from './errors.ts';
import {
  KEEPALIVE_US,
  PATH_ASK_AGAIN_US,
  PATH_ASK_FIRST_US,
  PATH_ASK_TRIAL_US,
  PATH_ASK_US,
  PATH_ASKS_MAX,
  PATH_GOOD_US,
  PATH_LOOK_AGAIN_US,
  PATH_SEARCH_FAST_US,
  PATH_SETTLE_US,
  PROBE_TIMEOUT_US_MAX,
} from './limits.ts';
import type { SessionPath } from './session-path.ts';

export type PathTrouble = 'carrier' | 'silent';

export type PathChange =
  | { type: 'path-lost'; path: number; why: PathTrouble }
  | { type: 'path-back'; path: number }
  | { type: 'active'; path: number; was: number; why: PathTrouble | 'better' };

/**
 * search: what is under way goes again, over all; found: the search is over; moved: what is under way goes
 * again over another path; better: a better path carries what is new; resumed: the only path is back.
 */
export type Verdict = 'stay' | 'search' | 'found' | 'moved' | 'better' | 'resumed';

export class Paths {
  readonly all: readonly SessionPath[];
  active: SessionPath;
  searching = false;
  /** News for whoever watches, oldest first. */
  readonly changes: PathChange[] = [];
  private before: SessionPath;
  private why: PathTrouble = 'silent';
  private searchCounter = 0;
  private searchUs = 0;
  private foundUs = Number.POSITIVE_INFINITY;
  private lookAgainUs = Number.POSITIVE_INFINITY;

  constructor(all: readonly SessionPath[], active: number) {
    const first = all[active];
    assert(first !== undefined, 'a session on a path that is not there');
    this.all = all;
    this.active = first;
    this.before = first;
  }

  /** Whether what we send leaves over it. */
  carries(path: SessionPath): boolean {
    return path.up && (this.searching || path === this.active);
  }

  /** How often a path that carries says everything, at least. */
  keepaliveUs(nowUs: number): number {
    // A peer that is away for long need not be called a hundred times a second over the plant's network.
    const isLong = this.searching && nowUs >= this.searchUs + PATH_SEARCH_FAST_US;
    return isLong ? PROBE_TIMEOUT_US_MAX : KEEPALIVE_US;
  }

  linkUp(path: SessionPath, nowUs: number): Verdict {
    path.up = true;
    path.askUs = nowUs;
    path.unanswered = 0;
    path.stateUs = Number.NEGATIVE_INFINITY;
    if (this.active === path) return 'resumed';
    if (this.active.up) return 'stay';
    return this.move(path, 'carrier');
  }

  /** `counter` is of the last frame sent. */
  linkDown(path: SessionPath, counter: number, nowUs: number): Verdict {
    path.up = false;
    path.copies.length = 0;
    path.fail();
    this.lose(path, 'carrier');
    if (path !== this.active && !this.searching) return 'stay';
    return this.leave(this.searching ? this.before : path, 'carrier', counter, nowUs);
  }

  private lose(path: SessionPath, why: PathTrouble): void {
    if (path.isLost) return;
    path.isLost = true;
    if (this.all.length > 1) this.changes.push({ type: 'path-lost', path: path.index, why });
  }

  private leave(from: SessionPath, why: PathTrouble, counter: number, nowUs: number): Verdict {
    const candidates = this.all.filter(({ up }) => up);
    const [first] = candidates;
    if (first === undefined) {
      this.searching = false;
      return 'stay';
    }
    if (candidates.length === 1) return this.move(first, why);
    this.searching = true;
    this.before = from;
    this.why = why;
    this.searchCounter = counter + 1;
    this.searchUs = nowUs;
    this.foundUs = Number.POSITIVE_INFINITY;
    this.lookAgainUs = Number.POSITIVE_INFINITY;
    if (!this.active.up) this.active = first;
    for (const path of this.all) {
      path.isFound = false;
      path.copies.length = 0;
      path.stateUs = Number.NEGATIVE_INFINITY;
    }
    return 'search';
  }

  private move(to: SessionPath, why: PathTrouble | 'better'): Verdict {
    const was = this.searching ? this.before : this.active;
    this.searching = false;
    this.lookAgainUs = Number.POSITIVE_INFINITY;
    this.active = to;
    this.takeUp(to);
    if (was !== to) this.changes.push({ type: 'active', path: to.index, was: was.index, why });
    return why === 'better' ? 'better' : 'moved';
  }

  /** From now on its silence means something, from before it does not. */
  private takeUp(path: SessionPath): void {
    path.stateUs = Number.NEGATIVE_INFINITY;
    path.awaitUs = Number.POSITIVE_INFINITY;
    path.isDoubted = false;
    path.copies.length = 0;
  }

  /** Whether what leaves over a path that carries should ask for an answer, though it has no data. */
  wantsAnswer(path: SessionPath, nowUs: number): boolean {
    if (this.all.length === 1) return false;
    return this.searching || path.isDoubted || nowUs >= path.heardUs + 2 * KEEPALIVE_US;
  }

  answered(path: SessionPath, counter: number, nowUs: number): void {
    path.answered(counter, nowUs);
    if (path.isLost && path.up) {
      path.isLost = false;
      this.changes.push({ type: 'path-back', path: path.index });
    }
    const isOnTrial = path.index < this.active.index;
    path.askUs = nowUs + (isOnTrial ? PATH_ASK_TRIAL_US : PATH_ASK_US);
    if (!this.searching || counter < this.searchCounter) return;
    path.isFound = true;
    this.foundUs = Math.min(this.foundUs, nowUs);
  }

  /** A question has left over a path that carries nothing. */
  asked(path: SessionPath, nowUs: number): void {
    path.unanswered++;
    path.askUs = nowUs + (path.isSound || path.isLost ? PATH_ASK_AGAIN_US : PATH_ASK_FIRST_US);
    if (path.unanswered > 1 && path.isSound) path.fail();
    if (path.unanswered > PATH_ASKS_MAX) this.lose(path, 'silent');
  }

  /** The peer sends its data over `path`: of a better one it may know more, and is asked. */
  peerUses(path: SessionPath, nowUs: number): void {
    const { active } = this;
    if (path.index <= active.index || active.isDoubted) return;
    active.isDoubted = true;
    active.stateUs = Number.NEGATIVE_INFINITY;
    // What could wait for its acknowledgement was not asked for one.
    if (active.awaitUs !== Number.POSITIVE_INFINITY) active.awaitUs = nowUs;
  }

  tick(counter: number, nowUs: number): Verdict {
    if (this.searching) {
      return nowUs >= this.foundUs + PATH_SETTLE_US ? this.finish() : 'stay';
    }
    if (!this.hasSpare) return 'stay';
    if (nowUs < this.active.overdueUs()) {
      this.lookAgainUs = Number.POSITIVE_INFINITY;
      return this.moveUp(nowUs);
    }
    // What came while this board itself stood still has not been read yet.
    if (this.lookAgainUs === Number.POSITIVE_INFINITY) {
      this.lookAgainUs = nowUs + PATH_LOOK_AGAIN_US;
    }
    if (nowUs < this.lookAgainUs) return 'stay';
    return this.leave(this.active, 'silent', counter, nowUs);
  }

  private get hasSpare(): boolean {
    return this.all.length > 1 && this.all.some((path) => path.up && path !== this.active);
  }

  private finish(): Verdict {
    const winner = this.all.find(({ up, isFound }) => up && isFound);
    if (winner === undefined) {
      this.foundUs = Number.POSITIVE_INFINITY;
      return 'stay';
    }
    const { before } = this;
    this.searching = false;
    this.active = winner;
    for (const path of this.all) {
      if (path !== winner) path.copies.length = 0;
      if (path.up && !path.isFound) path.fail();
    }
    if (winner === before) return 'found';
    if (before.up && !before.isFound) this.lose(before, 'silent');
    const [path, was] = [winner.index, before.index];
    this.changes.push({ type: 'active', path, was, why: before.isFound ? 'better' : this.why });
    return 'found';
  }

  private moveUp(nowUs: number): Verdict {
    for (const path of this.all) {
      if (path === this.active) break;
      if (nowUs >= upUs(path)) return this.move(path, 'better');
    }
    return 'stay';
  }

  /** When tick() or a question has something to do, if nothing else happens. */
  wakeUs(): number {
    if (this.all.length === 1) return Number.POSITIVE_INFINITY;
    if (this.searching) return this.foundUs + PATH_SETTLE_US;
    if (!this.hasSpare) return Number.POSITIVE_INFINITY;
    const isFirstLook = this.lookAgainUs === Number.POSITIVE_INFINITY;
    let wakeUs = isFirstLook ? this.active.overdueUs() : this.lookAgainUs;
    for (const path of this.all) {
      if (path === this.active || !path.up) continue;
      wakeUs = Math.min(wakeUs, path.askUs);
      if (path.index < this.active.index) wakeUs = Math.min(wakeUs, upUs(path));
    }
    return wakeUs;
  }
}

/** When a better path may carry. */
function upUs(path: SessionPath): number {
  if (!path.up || !path.isSound) return Number.POSITIVE_INFINITY;
  return path.goodSinceUs + PATH_GOOD_US;
}

// Wrong passwords: after a few, a user on this line must wait, then longer, never for ever; after more, the
// line itself. Per line, so that nobody on the network can lock out who stands at the machine. Names that
// do not exist count for the line alone, so that the list stays small. Pure.

interface Entry {
  readonly fails: number;
  readonly untilMs: number;
}

const USER_FAILS = 5;
const LINE_FAILS = 10;
const FIRST_MS = 30_000;
const LONGEST_MS = 15 * 60_000;
const ENTRIES_MAX = 200;

export class Lockout {
  private readonly entries = new Map<string, Entry>();

  /** How long this user must still wait on this line. */
  waitMs(user: string, line: string, nowMs: number): number {
    const waits = [`${user}@${line}`, `@${line}`].map((key) => {
      const leftMs = (this.entries.get(key)?.untilMs ?? 0) - nowMs;
      // A clock that was set back must not lock for years.
      return Math.min(leftMs, LONGEST_MS);
    });
    return Math.max(0, ...waits);
  }

  failed(user: string, line: string, isKnown: boolean, nowMs: number): void {
    this.count(`@${line}`, LINE_FAILS, nowMs);
    if (isKnown) this.count(`${user}@${line}`, USER_FAILS, nowMs);
  }

  succeeded(user: string, line: string): void {
    this.entries.delete(`${user}@${line}`);
    this.entries.delete(`@${line}`);
  }

  toJson(): string {
    return JSON.stringify([...this.entries]);
  }

  static fromJson(text: string): Lockout {
    const lockout = new Lockout();
    let given: unknown;
    try {
      given = JSON.parse(text);
    } catch {
      return lockout;
    }
    for (const item of Array.isArray(given) ? given.slice(0, ENTRIES_MAX) : []) {
      const [key, entry] = Array.isArray(item) ? item : [];
      const { fails, untilMs } = (entry ?? {}) as Partial<Entry>;
      if (typeof key === 'string' && Number.isSafeInteger(fails) && Number.isFinite(untilMs))
        lockout.entries.set(key, { fails: fails!, untilMs: untilMs! });
    }
    return lockout;
  }

  private count(key: string, free: number, nowMs: number): void {
    const fails = (this.entries.get(key)?.fails ?? 0) + 1;
    const doublings = Math.min(10, fails - free);
    const untilMs =
      fails < free ? 0 : nowMs + Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.max(0, doublings));
    // The one that has not failed for longest is forgotten.
    this.entries.delete(key);
    this.entries.set(key, { fails, untilMs });
    if (this.entries.size > ENTRIES_MAX) this.entries.delete(this.entries.keys().next().value!);
  }
}

// Command lines: what is wrong with one, in one line, and the codes a command ends with.

export const EXIT = {
  ok: 0,
  /** What was asked for could not be started. */
  failed: 1,
  /** The command line makes no sense. */
  usage: 2,
  /** The guest's CPU gave up (triple fault). */
  tripleFault: 3,
  /** The board died too often. */
  givenUp: 4,
  /** The board refused, and said why. */
  refused: 5,
  /** Begun, but not done within the time one waits. */
  unfinished: 6,
  /** A board process that wants to be started again (supervise.ts). */
  restart: 7,
  /** A mistake of this program. */
  broken: 70,
} as const;

export class UsageError extends Error {}

/** A guest that ends itself with a code through port 0xF4: 0 stays 0, others become 33 to 95. */
export function exitCodeOfGuest(code: number): number {
  return code === 0 ? EXIT.ok : 32 + Math.min(code, 63);
}

/** Errors made for people carry a code that starts with E_; all others are ours. */
export function isForPeople(error: unknown): error is Error & { code: string } {
  const { code } = error as { code?: unknown };
  return error instanceof Error && typeof code === 'string' && code.startsWith('E_');
}

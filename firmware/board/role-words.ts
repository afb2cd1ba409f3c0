// The role of a board as plant staff call it: on the console, to SCADA and to Home Assistant, one table for
// all. The arbiter's own word (watchdog/arbiter-types.ts) stands beside it where there is room. Pure.
import type { Role, Statement } from '../../watchdog/arbiter-types.ts';

const WORDS = {
  cold: 'STARTING',
  seeking: 'STARTING',
  target: 'BACKUP',
  backup: 'BACKUP',
  promoting: 'PRIMARY',
  solo: 'PRIMARY',
  source: 'PRIMARY',
  granting: 'PRIMARY',
  protected: 'PRIMARY',
  yielding: 'PRIMARY',
  soloing: 'PRIMARY',
  leaving: 'PRIMARY',
  isolated: 'ISOLATED',
  fenced: 'STARTING',
  maintenance: 'MAINTENANCE',
  stopped: 'STOPPED',
  /** As its supervisor tells. */
  dead: 'DEAD',
} as const satisfies Readonly<Record<Role | Statement['role'], string>>;

export type RoleWord = (typeof WORDS)[keyof typeof WORDS];

export function roleWord(role: Role | Statement['role']): RoleWord {
  return WORDS[role];
}

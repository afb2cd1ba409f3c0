// What should happen at a start, worked out from its factors alone, by the rules of ARBITER.md, BOARD.md
// and alarms.md. It shares no code with the board: real starts, and the arbiter in virtual time, are held
// against it.
import type { AlarmCode } from '../../firmware/board/alarms/codes.ts';
import { PEER_RECORD, refusesFolder, type Start } from './factors.ts';

export interface Line {
  readonly role: 'cold' | 'seeking' | 'target' | 'solo' | 'backup' | 'protected';
  /** As `twinstep status` says it; or in these words, where it depends on who is a moment sooner. */
  readonly why: string;
  readonly orWhy?: string;
  readonly alarms: readonly AlarmCode[];
}

export interface Expected {
  /** Null: it ends with exit code 1 and this one line. */
  readonly board: Line | null;
  readonly refusal: string | null;
  /** Of the other board, if it runs and is not stopped. */
  readonly peer: 'seeking' | 'target' | 'solo' | 'backup' | 'protected' | null;
}

export const WHY = {
  disk: 'the record cannot be written: no space is left on the disk',
  alone: 'nobody answers and the record may be old: peer, or operator by force-lead',
  unfit: 'could lead, but this board is not fit to lead',
  noDog: 'could lead, but no watchdog is armed, and the configuration forbids to lead without one',
  peerWillLead: 'the peer will lead',
  operator: 'the records do not tell who leads: operator, force-lead where the disk counts',
  follows: 'the peer leads',
  leadsAlone: 'the new reign is on disk',
  /** It had begun: a path that was never heard is given the time of one silence. */
  lostTarget: 'sync-up lost its target',
  inStep: 'in step',
  handedOver: 'handed over and stays in step',
} as const;

export function expect(start: Start): Expected {
  if (refusesFolder(start)) return { board: null, refusal: refusalOf(start), peer: null };
  const { role, why, peer } = relation(start);
  const alarms = alarmsOf(start, role, peer);
  const hasBegun = role === 'solo' && peer === 'target';
  const board = { role, why, alarms, ...(hasBegun ? { orWhy: WHY.lostTarget } : {}) };
  return { board, refusal: null, peer };
}

function refusalOf({ folder }: Start): string {
  return folder === 'in use' ? 'another board uses it' : 'lies on a read-only file system';
}

/** Whether frames of the other board come in on this path. */
function hears(start: Start, path: 'log' | 'serial' | 'front'): boolean {
  const speaks = start.peer === 'starts too' || start.peer === 'leads';
  return speaks && (path === 'serial' ? start.serial === 'talks' : start[path] === 'carrier');
}

function hearsAny(start: Start): boolean {
  return hears(start, 'log') || hears(start, 'serial') || hears(start, 'front');
}

const isFit = ({ tap, disk }: Start): boolean => tap === 'there' && disk === 'there';
/** Null: it may. */
function whyNotLead(start: Start): string | null {
  if (!isFit(start)) return WHY.unfit;
  return start.watchdog === 'there' ? null : WHY.noDog;
}
const mayLead = (start: Start): boolean => whyNotLead(start) === null;

type Relation = Pick<Line, 'role' | 'why'> & Pick<Expected, 'peer'>;

function relation(start: Start): Relation {
  const peerAlone = aloneAs(PEER_RECORD[start.record], null).role;
  const peerRuns = start.peer === 'starts too' || start.peer === 'leads';
  const peer = !peerRuns ? null : start.peer === 'leads' ? 'solo' : peerAlone;
  // Without a record it says nothing, and nobody waits for it.
  if (start.folder === 'full') return { role: 'cold', why: WHY.disk, peer };
  if (!hearsAny(start)) return { ...aloneAs(start.record, whyNotLead(start)), peer };
  if (start.peer === 'leads') return followed(start);
  if (start.record === 'sole' || start.record === 'shared') {
    const not = whyNotLead(start);
    if (not !== null) return { role: 'seeking', why: not, peer: 'seeking' };
    if (start.log !== 'carrier') return { role: 'solo', why: WHY.leadsAlone, peer: 'target' };
    // The plant does not see it, but the other one.
    return start.front === 'no carrier' && start.gateway === 'answers'
      ? { role: 'backup', why: WHY.handedOver, peer: 'protected' }
      : { role: 'protected', why: WHY.inStep, peer: 'backup' };
  }
  return followed(start);
}

function aloneAs(
  record: Start['record'] | 'unknown',
  whyNot: string | null,
): Relation & { role: 'seeking' | 'solo' } {
  if (record !== 'sole') return { role: 'seeking', why: WHY.alone, peer: null };
  if (whyNot !== null) return { role: 'seeking', why: whyNot, peer: null };
  return { role: 'solo', why: WHY.leadsAlone, peer: null };
}

/** The other board leads: in step over the log link, if this one could take over. */
function followed(start: Start): Relation {
  return start.log === 'carrier' && mayLead(start)
    ? { role: 'backup', why: WHY.inStep, peer: 'protected' }
    : { role: 'target', why: WHY.follows, peer: 'solo' };
}

function alarmsOf(start: Start, role: Line['role'], peer: Expected['peer']): AlarmCode[] {
  const isFull = start.folder === 'full';
  const peerServes = (peer === 'solo' || peer === 'protected') && hearsAny(start);
  const found: Partial<Record<AlarmCode, boolean>> = {
    'NOBODY-LEADS': (role === 'cold' || role === 'seeking') && !peerServes,
    'NOT-REDUNDANT': role === 'solo' || role === 'target',
    'PATH-LOG': !hears(start, 'log'),
    'PATH-SERIAL': !hears(start, 'serial'),
    'PATH-FRONT': !hears(start, 'front'),
    WITNESS: start.gateway === 'silent' || start.front === 'no carrier',
    UNFIT: !isFit(start),
    'WATCHDOG-OFF': start.watchdog !== 'there',
    'RECORD-FAILED': isFull,
    'ALARMS-UNSAVED': isFull,
    'RECORD-DOUBTED': start.record === 'damaged' && !isFull,
  };
  return (Object.keys(found) as AlarmCode[]).filter((code) => found[code]);
}

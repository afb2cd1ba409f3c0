// A statement in 54 bytes and back. FORMAT.md is the specification; bytes from outside never throw.
import { strict as assert } from 'node:assert';
import { type Grant, ROLES, type Statement } from './arbiter-types.ts';

export const STATEMENT_VERSION = 1;
export const STATEMENT_BYTES = 54;
export const SEQ_OF_THE_DEAD = 0xffffffff;
const ROLE_DEAD = 255;
const STANDINGS = ['sole', 'shared', 'behind', 'unknown', 'pending'] as const;
const AT = {
  version: 0,
  role: 1,
  standing: 2,
  flags: 3,
  boot: 4,
  seq: 8,
  generation: 12,
  session: 16,
  grant: 20,
  spent: 28,
  echo: 36,
  position: 44,
  health: 52,
} as const;
const FLAG = { wantsRenounce: 1, ready: 2, witness: 4, log: 8, serial: 16, front: 32, inStep: 64 };

/** What travels with a statement for people to see; the arbiter does not look at it. */
export interface Extras {
  readonly position: bigint;
  readonly health: number;
}

export type StatementRead =
  | { readonly ok: true; readonly statement: Statement; readonly extras: Extras }
  | { readonly ok: false; readonly reason: 'version' | 'body' };

export function encodeStatement(statement: Statement, extras: Extras): Uint8Array {
  const bytes = new Uint8Array(STATEMENT_BYTES);
  const view = new DataView(bytes.buffer);
  const u32 = (at: number, value: number) => {
    assert.ok(Number.isInteger(value) && value >= 0 && value <= 0xffffffff, `u32: ${value}`);
    view.setUint32(at, value);
  };
  const { role, standing, hears } = statement;
  bytes[AT.version] = STATEMENT_VERSION;
  bytes[AT.role] = role === 'dead' ? ROLE_DEAD : ROLES.indexOf(role);
  bytes[AT.standing] = STANDINGS.indexOf(standing);
  bytes[AT.flags] =
    (statement.wantsRenounce ? FLAG.wantsRenounce : 0) |
    (statement.ready ? FLAG.ready : 0) |
    (statement.witness ? FLAG.witness : 0) |
    (hears.log ? FLAG.log : 0) |
    (hears.serial ? FLAG.serial : 0) |
    (hears.front ? FLAG.front : 0) |
    (role === 'backup' ? FLAG.inStep : 0);
  u32(AT.boot, statement.boot);
  u32(AT.seq, statement.seq);
  u32(AT.generation, statement.generation);
  u32(AT.session, statement.session);
  u32(AT.grant, statement.grant?.boot ?? 0);
  u32(AT.grant + 4, statement.grant?.session ?? 0);
  u32(AT.spent, statement.spent?.boot ?? 0);
  u32(AT.spent + 4, statement.spent?.session ?? 0);
  u32(AT.echo, statement.echoBoot);
  u32(AT.echo + 4, statement.echoSeq);
  view.setBigUint64(AT.position, extras.position);
  view.setUint16(AT.health, extras.health);
  return bytes;
}

export function readStatement(bytes: Uint8Array): StatementRead {
  if (bytes.length < 1 || bytes[AT.version] !== STATEMENT_VERSION) {
    return { ok: false, reason: 'version' };
  }
  if (bytes.length !== STATEMENT_BYTES) return { ok: false, reason: 'body' };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const roleByte = view.getUint8(AT.role);
  const role = roleByte === ROLE_DEAD ? 'dead' : ROLES[roleByte];
  const standing = STANDINGS[view.getUint8(AT.standing)];
  const flags = view.getUint8(AT.flags);
  const boot = view.getUint32(AT.boot);
  const inStep = (flags & FLAG.inStep) !== 0;
  if (role === undefined || standing === undefined || boot === 0 || flags >= 128) {
    return { ok: false, reason: 'body' };
  }
  // Only the supervisor, which has no more to say, uses the last sequence number.
  const last = view.getUint32(AT.seq) === SEQ_OF_THE_DEAD;
  if (inStep !== (role === 'backup') || last !== (role === 'dead')) {
    return { ok: false, reason: 'body' };
  }
  const grant = (at: number): Grant | null => {
    const of = view.getUint32(at);
    return of === 0 ? null : { boot: of, session: view.getUint32(at + 4) };
  };
  const statement: Statement = {
    boot,
    seq: view.getUint32(AT.seq),
    role,
    generation: view.getUint32(AT.generation),
    standing,
    session: view.getUint32(AT.session),
    grant: grant(AT.grant),
    spent: grant(AT.spent),
    wantsRenounce: (flags & FLAG.wantsRenounce) !== 0,
    ready: (flags & FLAG.ready) !== 0,
    hears: {
      log: (flags & FLAG.log) !== 0,
      serial: (flags & FLAG.serial) !== 0,
      front: (flags & FLAG.front) !== 0,
    },
    witness: (flags & FLAG.witness) !== 0,
    echoBoot: view.getUint32(AT.echo),
    echoSeq: view.getUint32(AT.echo + 4),
  };
  const extras = { position: view.getBigUint64(AT.position), health: view.getUint16(AT.health) };
  return { ok: true, statement, extras };
}

/** What the supervisor says of a board whose process has ended, from the record on its disk. */
export function lastGaspOf(
  boot: number,
  record: { generation: number; standing: Statement['standing'] },
): Statement {
  return {
    boot,
    seq: SEQ_OF_THE_DEAD,
    role: 'dead',
    generation: record.generation,
    standing: record.standing,
    session: 0,
    grant: null,
    spent: null,
    wantsRenounce: false,
    ready: false,
    hears: { log: false, serial: false, front: false },
    witness: false,
    echoBoot: 0,
    echoSeq: 0,
  };
}

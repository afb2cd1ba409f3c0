// One start, tried with real processes in a lane: arranged, begun, held against what is expected, then
// everything is mended under the running boards, which must become redundant without a new start.
import { closeSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AlarmCode } from '../../firmware/board/alarms/codes.ts';
import { lockStateFolder } from '../../firmware/board/state-folder.ts';
import type { Standing } from '../../watchdog/arbiter-types.ts';
import { RoleRecordStore } from '../../watchdog/role-record-store.ts';
import { LIMITS, StartedBoard } from './board.ts';
import { type Expected, expect, type Line, WHY } from './expect.ts';
import { GENERATION, PEER_RECORD, type Start, type Value } from './factors.ts';
import { type Lane, other } from './lane.ts';

/** Of this machine on this day, not of the start. */
const OF_THE_MACHINE: ReadonlySet<AlarmCode> = new Set<AlarmCode>([
  'STALLS',
  'BACKUP-SLOW',
  'NOT-FIRST',
  'RECORD-SLOW',
]);
const NEVER = ['BOARD-DIED', 'BOARD-MUTE', 'BOARD-GIVEN-UP', 'GUEST-FAILED', 'WATCHDOG-MUTE'];
/** What is normal for a board that just started is over, what lasts is an alarm, and was looked at. */
const SETTLED_MS = LIMITS['seek-ms'] * 1.5 + 1_000 + 2 * 500;
/** Each is over in a few seconds where a machine has nothing else to do. */
const PATIENCE_MS = Number(process.env.TWINSTEP_PATIENCE_MS ?? 60_000);
const REIGN_OF_A_LEADER = GENERATION + 2;

export class Trial {
  readonly start: Start;
  readonly expected: Expected;
  readonly board: StartedBoard;
  readonly peer: StartedBoard;
  private readonly lane: Lane;
  private lock: number | undefined;
  private looks: (() => void)[] = [];

  /** `folder`: empty, and this trial's own. */
  constructor(lane: Lane, start: Start, folder: string) {
    this.lane = lane;
    this.start = start;
    this.expected = expect(start);
    const make = (side: 'a' | 'b') => {
      mkdirSync(join(folder, side));
      const board = new StartedBoard(lane, side, join(folder, side));
      board.onNews = () => {
        for (const look of [...this.looks]) look();
      };
      return board;
    };
    this.board = make(start.side);
    this.peer = make(other(start.side));
  }

  /** Throws in words at the first thing that is not as it should be. */
  async run(): Promise<void> {
    await this.arrange();
    await this.begin();
    if (this.expected.refusal !== null) await this.isRefused(this.expected.refusal);
    else await this.isAsExpected();
    await this.mend();
  }

  async close(): Promise<void> {
    if (this.lock !== undefined) closeSync(this.lock);
    await this.board.close();
    await this.peer.close();
  }

  private async arrange(): Promise<void> {
    const { start, lane, board, peer } = this;
    const { side } = start;
    lane.log(side, start.log === 'carrier');
    lane.front(side, start.front === 'carrier');
    lane.front(other(side), true);
    lane.gateway(start.gateway === 'answers');
    lane.tap(side, start.tap === 'there');
    lane.tap(other(side), true);
    await lane.serial.set(start.serial === 'silent' ? 'cut' : 'whole');
    board.serial(start.serial !== 'missing');
    board.disk(start.disk === 'there');
    board.watchdog(start.watchdog);
    writeRecord(board, start.record);
    if (start.peer === 'leads') writeStanding(peer, REIGN_OF_A_LEADER, 'sole');
    else writeStanding(peer, GENERATION, PEER_RECORD[start.record]);
    if (start.folder === 'full') board.fill(true);
    if (start.folder === 'in use') this.lock = lockStateFolder(board.state(''));
    if (start.folder === 'read-only') board.readOnly(true);
  }

  private async begin(): Promise<void> {
    const { board, peer, start } = this;
    if (start.peer !== 'without power') peer.start();
    if (start.peer === 'leads')
      await this.until('the peer leads', () => peer.status?.role === 'solo');
    if (start.peer === 'hangs') {
      await this.until('the peer begins', () => peer.codes().includes('RECORD-LOADED'));
      peer.hang();
    }
    board.start();
  }

  private async isRefused(why: string): Promise<void> {
    const { board } = this;
    await this.until('it ends', () => board.ended !== undefined);
    const line = `twinstep board: state-dir ${board.file('state')}: ${why}\n`;
    const { code, errors } = board.ended!;
    if (code !== 1 || errors !== line) throw new Error(`not code 1 and "${line}"\n${this.words()}`);
    if (board.events.length > 0) throw new Error(`it said more\n${this.words()}`);
  }

  private async isAsExpected(): Promise<void> {
    const { board, peer, expected } = this;
    const { orWhy, ...wanted } = expected.board!;
    const isLike = (why: string) => why === orWhy || this.cameAgain(wanted, why);
    const found = () => {
      const { role, why } = board.status ?? { role: null, why: '' };
      return {
        peer: this.start.peer === 'hangs' ? null : (peer.status?.role ?? null),
        ...{ role, why: isLike(why) ? wanted.why : why, alarms: alarmsOf(board) },
      };
    };
    const wantedText = JSON.stringify(ordered({ peer: expected.peer, ...wanted }));
    const isSo = () =>
      (board.status?.board.upMs ?? 0) > SETTLED_MS &&
      JSON.stringify(ordered(found())) === wantedText;
    await this.until(
      () => `as expected: ${wantedText}\n  found: ${JSON.stringify(ordered(found()))}`,
      isSo,
    );
  }

  /** It was what is wanted, fell behind for a moment, as a busy machine makes it do, and is in step once more. */
  private cameAgain({ role, why }: Line, now: string): boolean {
    if (role !== 'backup' || now !== WHY.inStep) return false;
    return this.board.events.some(({ text }) => text === `${role}: ${why}`);
  }

  /** All that was missing comes, under the running boards; who was refused starts again. */
  async mend(): Promise<void> {
    const { start, lane, board, peer } = this;
    const before = [board, peer].map((one) => one.status?.board);
    const { side } = start;
    lane.log(side, true);
    lane.front(side, true);
    lane.gateway(true);
    if (start.tap === 'missing') lane.tap(side, true);
    await lane.serial.set('whole');
    board.serial(true);
    if (start.disk === 'missing') board.disk(true);
    board.watchdog('there');
    if (start.folder === 'full') board.fill(false);
    if (start.folder === 'read-only') board.readOnly(false);
    if (this.lock !== undefined) closeSync(this.lock);
    this.lock = undefined;
    if (start.peer === 'hangs') peer.wake();
    if (start.peer === 'without power') peer.start();
    if (this.expected.refusal !== null) board.start();
    await this.until('both in step', () => this.isRedundant);
    this.sameLives(before);
  }

  get isRedundant(): boolean {
    const { board, peer } = this;
    const roles = [board, peer].map(({ status }) => status?.role);
    const isSo = roles.includes('protected') && roles.includes('backup');
    return isSo && board.status?.pairState === 'RUN-Redundant';
  }

  /** The same process, the same start; nothing that a board tells when it goes wrong. */
  private sameLives(before: readonly (Life | undefined)[]): void {
    const { board, peer } = this;
    const faults = [board, peer].flatMap((one, i) => {
      const [was, is] = [before[i], one.status?.board];
      const died =
        was !== undefined && (was.pid !== is?.pid || (was.boot !== 0 && was.boot !== is?.boot));
      const bad = one.codes().filter((code) => NEVER.includes(code));
      return [
        ...(died ? [`board ${one.side} was started anew`] : []),
        ...bad.map((code) => `board ${one.side} tells ${code}`),
        ...(one.errors === '' ? [] : [`board ${one.side} wrote to standard error`]),
      ];
    });
    if (faults.length > 0) throw new Error(`${faults.join('; ')}\n${this.words()}`);
  }

  async until(what: string | (() => string), isSo: () => boolean): Promise<void> {
    if (isSo()) return;
    await new Promise<void>((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        this.looks = this.looks.filter((one) => one !== look);
      };
      const look = () => {
        if (!isSo()) return;
        end();
        resolve();
      };
      const timer = setTimeout(() => {
        end();
        const words = typeof what === 'string' ? what : what();
        reject(new Error(`not within ${PATIENCE_MS} ms: ${words}\n${this.words()}`));
      }, PATIENCE_MS);
      this.looks.push(look);
    });
  }

  words(): string {
    return `${this.board.words()}\n${this.peer.words()}\n${this.lane.words()}`;
  }
}

type Life = { readonly pid: number; readonly boot: number };

function alarmsOf({ status }: StartedBoard): AlarmCode[] {
  return (status?.alarms ?? []).map(({ code }) => code).filter((code) => !OF_THE_MACHINE.has(code));
}

const ordered = <T extends { readonly alarms: readonly AlarmCode[] }>(found: T): T => ({
  ...found,
  alarms: [...found.alarms].sort(),
});

function writeStanding(board: StartedBoard, generation: number, standing: Standing): void {
  const store = new RoleRecordStore(board.state(''));
  store.load(1_000);
  store.restore({ generation, standing });
}

function writeRecord(board: StartedBoard, record: Value<'record'>): void {
  if (record === 'new') return;
  writeStanding(board, GENERATION, record === 'damaged' ? 'sole' : record);
  if (record !== 'damaged') return;
  const copy = board.state('role-record.0');
  const bytes = readFileSync(copy);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  writeFileSync(copy, bytes);
}

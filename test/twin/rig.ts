// Two boards, their plant, and a client that lives through everything. Verbs for every fault, waits on
// what the boards say of themselves; never a sleep.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BoardEvent } from '../../firmware/board/events.ts';
import type { EngineChoice } from '../../firmware/host/engine-kinds.ts';
import type { PlantGuest } from '../guests/plant/plant.ts';
import { repoPath } from '../harness/index.ts';
import { BoardUnderTest, type LogWays } from './board.ts';
import { type ClientOptions, PlantClient } from './client.ts';
import { Network, other, SIDES, type Side } from './network.ts';
import type { PlantScada } from './plant-scada.ts';
import { SerialCable } from './serial-cable.ts';

/** Both keys are of this rig alone. */
const PAIRING_KEY = Buffer.alloc(32, 0x5a);

export interface RigOptions {
  readonly guest: PlantGuest;
  readonly client?: ClientOptions;
  /** More lines of each board's configuration, behind [limits]. */
  readonly more?: string;
  /** As in [guest]. @default soft */
  readonly engine?: EngineChoice;
  /** Ways of the log beside its one cable. @default none */
  readonly ways?: LogWays;
  /** More words of the guest's command line. */
  readonly append?: string;
  /** A third disk of so many bytes on each board, mostly holes. */
  readonly largeBytes?: number;
  /** With a broker on the plant LAN, which both boards tell. */
  readonly hasScada?: boolean;
  /** Called as soon as there is a rig, before anything runs. */
  readonly onRig?: (rig: TwinRig) => void;
  readonly onEvent?: (side: Side, event: BoardEvent) => void;
}

export class TwinRig {
  readonly network: Network;
  readonly serial: SerialCable;
  readonly boards: Readonly<Record<Side, BoardUnderTest>>;
  readonly client: PlantClient;
  readonly scada: PlantScada | undefined;
  readonly pairingKey: Uint8Array = PAIRING_KEY;
  private readonly folder: string;
  private readonly waits = new Set<() => void>();
  private isClosing = false;

  private constructor(
    folder: string,
    parts: Pick<TwinRig, 'network' | 'serial' | 'boards' | 'client' | 'scada'>,
  ) {
    this.folder = folder;
    this.network = parts.network;
    this.serial = parts.serial;
    this.boards = parts.boards;
    this.client = parts.client;
    this.scada = parts.scada;
    for (const side of SIDES) this.boards[side].onNews = () => this.news();
  }

  /** Needs a network namespace of its own. Nothing runs yet. */
  static async make(options: RigOptions): Promise<TwinRig> {
    const { guest, client, engine, more, append, largeBytes, onEvent, onRig, ways = {} } = options;
    const folder = mkdtempSync(join(tmpdir(), 'twinstep-twin-'));
    const pairingKeyFile = join(folder, 'pairing.key');
    writeFileSync(pairingKeyFile, PAIRING_KEY, { mode: 0o600 });
    const network = await Network.make({ hasSecondLog: ways.secondCard === true });
    const scada = options.hasScada === true ? await startScada() : undefined;
    const serial = await SerialCable.make();
    const board = (side: Side) => {
      const own = join(folder, side);
      mkdirSync(own);
      const made = new BoardUnderTest({
        ...{ side, guest, pairingKeyFile, folder: own, ways },
        ...(engine === undefined ? {} : { engine }),
        ...(more === undefined ? {} : { more }),
        ...(append === undefined ? {} : { append }),
        ...(largeBytes === undefined ? {} : { largeBytes }),
        ...(scada === undefined ? {} : { broker: scada.url }),
        namespace: network.boards[side],
        serialPort: serial.paths[side],
      });
      made.onEvent = (event) => {
        scada?.event(side, event);
        onEvent?.(side, event);
      };
      return made;
    };
    const boards = { a: board('a'), b: board('b') };
    const parts = { network, serial, boards, scada, client: new PlantClient(client) };
    const rig = new TwinRig(folder, parts);
    for (const side of SIDES) boards[side].onGivenUp = () => void rig.reset(side);
    onRig?.(rig);
    return rig;
  }

  async close(): Promise<void> {
    this.isClosing = true;
    this.client.close();
    // At once: neither is to take over from the other.
    await Promise.all(SIDES.map((side) => this.boards[side].close()));
    await this.scada?.close();
    this.serial.close();
    await this.network.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** As when the plugs are pulled: processes and carriers end in one go. */
  async cutPower(...sides: readonly Side[]): Promise<void> {
    const boards = sides.map((side) => this.boards[side]);
    const processes = boards.flatMap((board) => board.processes);
    await this.network.cutPower(sides, processes);
    for (const board of boards) await board.hasEnded();
  }

  /** The cards are there first; the boards begin when their peers see the carriers of these cards. */
  async restorePower(...sides: readonly Side[]): Promise<void> {
    await this.network.restorePower(sides);
    for (const side of sides) this.boards[side].start();
  }

  /** What a hardware watchdog does to a board that nobody pets any more. */
  private async reset(side: Side): Promise<void> {
    await this.cutPower(side);
    if (!this.isClosing && !this.boards[side].isOn) await this.restorePower(side);
  }

  /** The board that leads by its own word, if one does. */
  get primary(): Side | undefined {
    return SIDES.find((side) => LEADS.has(this.boards[side].status?.role ?? ''));
  }

  /** Resolves as soon as it is so; throws in words, with the last of both boards, when it is late. */
  async until(what: string, isSo: () => boolean, timeoutMs: number): Promise<void> {
    if (isSo()) return;
    await new Promise<void>((resolve, reject) => {
      const done = () => {
        clearTimeout(timer);
        this.waits.delete(look);
      };
      const look = () => {
        if (!isSo()) return;
        done();
        resolve();
      };
      const timer = setTimeout(() => {
        done();
        reject(new Error(`not within ${timeoutMs} ms: ${what}\n${this.words()}`));
      }, timeoutMs);
      this.waits.add(look);
    });
  }

  /** One board leads, the other is in step, and both say so. */
  get isRedundant(): boolean {
    const roles = SIDES.map((side) => this.boards[side].status?.role);
    return roles.includes('protected') && roles.includes('backup');
  }

  /** Both boards for the first time: one of them is told to lead, the guest boots, the other follows. */
  async begin(first: Side = 'a'): Promise<void> {
    for (const side of SIDES) this.boards[side].start();
    const board = this.boards[first];
    const waits = () => board.status?.role === 'seeking' && board.status.peer?.isHeard === true;
    await this.until('both boards seek each other', waits, START_MS);
    await board.ask({ do: 'force-lead' });
    await this.until(`board ${first} leads`, () => this.primary === first, START_MS);
  }

  async redundant(timeoutMs = REDUNDANT_MS): Promise<Side> {
    await this.until('RUN-Redundant', () => this.isRedundant, timeoutMs);
    return this.primary!;
  }

  /** What both boards say, for a failure. */
  words(): string {
    return SIDES.map((side) => {
      const { status } = this.boards[side];
      const head = status === undefined ? 'does not answer' : `${status.role}: ${status.why}`;
      return `board ${side}: ${head}\n${this.boards[side].output()}`;
    }).join('\n');
  }

  /** What both boards ever wrote, kept for whoever looks into a failure; says where. */
  keep(): string {
    const kept = repoPath('.cache/twin-failure');
    mkdirSync(kept, { recursive: true });
    for (const side of SIDES)
      copyFileSync(this.boards[side].outputFile, join(kept, `${side}.jsonl`));
    return kept;
  }

  private news(): void {
    for (const look of [...this.waits]) look();
  }

  get backup(): Side | undefined {
    return this.primary === undefined ? undefined : other(this.primary);
  }
}

/** Its packages are not where nobody wants a broker. */
async function startScada(): Promise<PlantScada> {
  const { PlantScada } = await import('./plant-scada.ts');
  return await PlantScada.start();
}

const START_MS = 30_000;
export const REDUNDANT_MS = 60_000;
const LEADS: ReadonlySet<string> = new Set(['solo', 'source', 'granting', 'protected']);

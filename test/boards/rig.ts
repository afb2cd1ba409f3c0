// Two emulated boards, the cables between them, their plant, a client and SCADA. Waits on what the boards
// tell; never a sleep that hopes.
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { EngineChoice } from '../../firmware/host/engine-kinds.ts';
import type { Appliance } from '../appliance/appliance.ts';
import { plain } from '../appliance/machine.ts';
import { makeStick } from '../appliance/stick.ts';
import { Bundles } from '../appliance/updates.ts';
import { buildGuest } from '../softcpu/guest.ts';
import { PlantClient } from '../twin/client.ts';
import { GUEST_MAC, other, SIDES, type Side } from '../twin/network.ts';
import { EmulatedBoard, LEADS } from './board.ts';
import { ADDRESS, BROKER, GATEWAY, hasBroker, makePlant, Scada, statusTopic } from './plant.ts';

const DISK_BYTES = 1.5 * 2 ** 30;
const MEMORY_MIB = 768;
const BOOT_MS = 240_000;
export const REDUNDANT_MS = 240_000;
const POLL_MS = 100;
/** The guest's timer and the client's pace, as much as two emulators on a shared host bear. */
const GUEST_HZ = 'HZ=20';
const CLIENT = { kind: 'frames', lineMs: 200, againMs: 2_000 } as const;

/** Joins the two boards' second serial lines. */
class SerialCable {
  isWhole = true;
  private readonly ends: Partial<Record<Side, Socket>> = {};

  plug(side: Side, socket: Socket): void {
    this.ends[side] = socket;
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      if (this.isWhole) this.ends[other(side)]?.write(bytes);
    });
    socket.on('close', () => {
      if (this.ends[side] === socket) delete this.ends[side];
    });
  }
}

export interface RigPlan {
  readonly made: Appliance;
  readonly folder: string;
  /** As in [guest]; soft where nothing is said. */
  readonly engine?: EngineChoice | undefined;
  /** Another QEMU than this machine's. */
  readonly qemu?: string | undefined;
}

export class BoardsRig {
  readonly boards: Readonly<Record<Side, EmulatedBoard>>;
  readonly serial = new SerialCable();
  readonly scada: Scada | undefined;
  /** Of every board, behind the stick. */
  readonly bundles: Bundles;
  readonly made: Appliance;
  readonly folder: string;
  client = new PlantClient(CLIENT);
  private isLogCableIn = true;
  private readonly bornMs = performance.now();

  private constructor({ made, folder, qemu }: RigPlan, bundles: Bundles, scada: Scada | undefined) {
    this.made = made;
    this.folder = folder;
    this.scada = scada;
    this.bundles = bundles;
    const board = (side: Side) =>
      new EmulatedBoard(
        {
          side,
          folder: join(folder, side),
          peerFolder: join(folder, other(side)),
          disk: join(folder, side, 'disk.img'),
          extraDisks: [join(folder, side, 'stick.img'), ...bundles.disks],
          memoryMib: MEMORY_MIB,
          qemu,
        },
        { plug: (socket) => this.serial.plug(side, socket) },
      );
    this.boards = { a: board('a'), b: board('b') };
  }

  /** Needs a network namespace of its own. Disks and sticks are made, nothing runs yet. */
  static async make(plan: RigPlan): Promise<BoardsRig> {
    const { made, folder, engine = 'soft' } = plan;
    rmSync(folder, { recursive: true, force: true });
    const guest = readFileSync(buildGuest('plc', GUEST_HZ));
    for (const side of SIDES) {
      const own = join(folder, side);
      mkdirSync(own, { recursive: true });
      const disk = join(own, 'disk.img');
      made.tools.run('cp', ['--sparse=always', made.disk.image, disk]);
      truncateSync(disk, DISK_BYTES);
      makeStick(made.tools, own, {
        ...{ side, guest, address: ADDRESS[side], peer: ADDRESS[other(side)], gateway: GATEWAY },
        boardLines: ['events-file = "/data/twinstep/state/events.jsonl"'],
        guestLines: [`mac = "${GUEST_MAC}"`, `engine = "${engine}"`],
        tables: hasBroker() ? mqtt(side) : [],
      });
    }
    makePlant();
    const scada = hasBroker() ? new Scada() : undefined;
    await scada?.start(folder);
    return new BoardsRig(plan, new Bundles(made, folder, ['good']), scada);
  }

  /**
   * Both boards for the first time, up to RUN-Redundant with a client. Says how long each step took. `paired`: they
   * hear each other, and have nothing to do yet.
   */
  async begin(say: (words: string) => void, paired = async () => {}): Promise<void> {
    const { a, b } = this.boards;
    await Promise.all([a.powerOn(false), b.powerOn(false)]);
    await Promise.all(SIDES.map((side) => this.login(side)));
    say(`${this.seconds()} the technician is logged in on both boards`);
    await this.until(
      'both boards seek each other',
      () => a.role === 'seeking' && b.role === 'seeking',
      BOOT_MS,
    );
    await this.until('they hear each other', () => a.told('PEER-SEEN', 0) !== undefined, BOOT_MS);
    say(`${this.seconds()} paired: each hears the other, both wait for an operator`);
    await paired();
    const words = await this.technician('a').request('request force-lead', 'emulated-a');
    await this.until(`a leads (${words})`, () => this.primary === 'a', BOOT_MS);
    say(`${this.seconds()} the guest runs on a`);
    await this.client.connect();
    await this.redundant();
    say(`${this.seconds()} RUN-Redundant`);
  }

  /** The plug is pulled: a wire to a card without power has no carrier at its other end either. */
  async powerCut(side: Side): Promise<void> {
    await this.boards[side].powerCut();
    await this.wire();
  }

  async powerOn(side: Side): Promise<void> {
    await this.boards[side].powerOn(!this.isLogCableIn || !this.boards[other(side)].isOn);
    await this.wire();
  }

  async logCable(isIn: boolean): Promise<void> {
    this.isLogCableIn = isIn;
    await this.wire();
  }

  private async wire(): Promise<void> {
    const carries = this.isLogCableIn && SIDES.every((side) => this.boards[side].isOn);
    for (const side of SIDES)
      if (this.boards[side].isOn) await this.boards[side].carrier('log', carries);
  }

  /** Waits for the board's console, and logs in. */
  async login(side: Side): Promise<void> {
    await this.technician(side).login();
  }

  technician(side: Side) {
    const { technician } = this.boards[side];
    if (technician === undefined) throw new Error(`board ${side} has no power`);
    return technician;
  }

  get primary(): Side | undefined {
    const leading = SIDES.filter((side) => LEADS.has(this.boards[side].role));
    return leading.sort((one, two) => this.boards[two].ledMs - this.boards[one].ledMs)[0];
  }

  get isRedundant(): boolean {
    const roles = SIDES.map((side) => this.boards[side].role);
    return roles.includes('protected') && roles.includes('backup');
  }

  async redundant(withinMs = REDUNDANT_MS): Promise<Side> {
    await this.until('RUN-Redundant', () => this.isRedundant, withinMs);
    return this.primary as Side;
  }

  async until(what: string, isSo: () => boolean, withinMs: number): Promise<void> {
    const endMs = performance.now() + withinMs;
    while (!isSo()) {
      for (const side of SIDES) {
        const board = this.boards[side];
        if (board.isOn && board.machine.isOff) throw new Error(`${what}: QEMU of ${side} ended`);
      }
      if (performance.now() > endMs)
        throw new Error(`not within ${withinMs / 1000} s: ${what}\n${this.words()}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Everything plugged in, both boards with power: then they must find back by themselves. */
  async recover(): Promise<void> {
    this.serial.isWhole = true;
    await this.logCable(true);
    for (const side of SIDES) {
      const board = this.boards[side];
      if (board.isOn) {
        await board.carrier('front', true);
        continue;
      }
      await this.powerOn(side);
      await this.login(side);
    }
    await this.redundant();
  }

  /** After a power cut of both the guest is a new one, and so is its client. */
  newClient(): void {
    this.client.close();
    this.client = new PlantClient(CLIENT);
  }

  seconds(): string {
    return `${((performance.now() - this.bornMs) / 1000).toFixed(0).padStart(4)} s`;
  }

  words(): string {
    return SIDES.map((side) => {
      const board = this.boards[side];
      const last = board.events.slice(-12).map(({ code, text }) => `  ${code} ${text}`);
      const screen = board.isOn ? plain(board.machine.text).slice(-400) : 'no power';
      return `board ${side}: ${board.role || 'says nothing'}\n${last.join('\n')}\n${screen}`;
    }).join('\n');
  }

  async close(): Promise<void> {
    this.client.close();
    this.scada?.close();
    for (const side of SIDES) {
      await this.boards[side].powerCut();
      const lines = this.boards[side].events.map((event) => JSON.stringify(event));
      writeFileSync(join(this.folder, `${side}-events.jsonl`), lines.join('\n'));
      writeFileSync(join(this.folder, `${side}-console.txt`), plain(this.boards[side].transcript));
    }
  }
}

const mqtt = (side: Side): string[] => [
  '[mqtt]',
  `servers = ["${BROKER}"]`,
  'plaintext = "allowed"',
  `status-topic = "${statusTopic(side)}"`,
  'keepalive-s = 10',
];

// Replication of two boards in one process: a log link between two memory ports, a plant both are on, disks in
// files, and a script in place of the arbiter that gives the orders of each step in its order.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GuestPlan } from '../../../firmware/board/config/types.ts';
import type {
  GuestBackends,
  OpenBackends,
} from '../../../firmware/board/replication/guest-runner.ts';
import {
  GuestReplication,
  type ReplicationOptions,
} from '../../../firmware/board/replication/replication.ts';
import type { CurrentRole, ReplicationEvent } from '../../../firmware/board/replication/types.ts';
import type { Input } from '../../../firmware/devices/contracts.ts';
import type { BackendEvents } from '../../../firmware/host/backends.ts';
import type { OutputItem } from '../../../firmware/host/vcpu/vcpu.ts';
import { LAG_LIMITS } from '../../../firmware/lockstep/lag.ts';
import { Channel } from '../../../logchan/channel.ts';
import type { Port } from '../../../logchan/port.ts';
import { GuestMemory } from '../../../native/index.ts';
import type { ArbiterEvent, Role } from '../../../watchdog/arbiter-types.ts';
import { GUEST_MAC, question } from '../../guest/guest-line.ts';
import { assert, type SeededRandom } from '../../harness/index.ts';
import { testChannelOptions } from '../../logchan/stream-digest.ts';
import { buildGuest } from '../../softcpu/guest.ts';
import { Cable } from './cable.ts';

export const DISK_BYTES = 4 << 20;

export const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** What the world sees of the guest, whichever board it is on. */
export class Plant {
  /** Running numbers in the answers, in order of arrival, with the whole frame. */
  readonly answers: { readonly number: number; readonly frame: Uint8Array; readonly by: string }[] =
    [];
  readonly announced: { readonly type: number; readonly by: string }[] = [];
  text = '';
  /** Told of everything that is said. */
  heard: (() => void) | undefined;
  private readonly boards = new Map<string, BackendEvents>();
  private readonly random: SeededRandom;

  constructor(random: SeededRandom) {
    this.random = random;
  }

  opens(name: string): OpenBackends {
    return async (_spec, events) => {
      this.boards.set(name, events);
      const backends: GuestBackends = {
        start: () => {},
        deliver: (outputs) => {
          for (const output of outputs) this.said(name, output);
          this.heard?.();
        },
        serialTaken: () => {},
        close: async () => void this.boards.delete(name),
      };
      return backends;
    };
  }

  private said(by: string, output: OutputItem): void {
    if (output.kind === 'serial-tx') this.text += Buffer.from(output.bytes).toString('latin1');
    if (output.kind !== 'net-tx') return;
    const frame = Buffer.from(output.frame);
    const type = frame.readUInt16BE(12);
    if (type === 0x88b6) {
      this.answers.push({ number: Number(frame.readBigUInt64LE(44)), frame, by });
    } else this.announced.push({ type, by });
  }

  /** A question to the guest, on the wire of all boards. */
  ask(): void {
    const frame = question(new Uint8Array(this.random.int(1000)));
    frame.set(this.random.bytes(18), 14);
    this.input({ kind: 'net-rx', nic: 0, frame });
  }

  type(text: string): void {
    this.input({ kind: 'serial-rx', port: 'com1', bytes: Buffer.from(text, 'latin1') });
  }

  private input(input: Input): void {
    for (const events of this.boards.values()) events.onInputs([input]);
  }

  /** Every number that was said was said once, or again with the same bytes; none is missing. */
  assertConsistent(): void {
    const seen = new Map<number, Uint8Array>();
    let highest = 0;
    for (const { number, frame } of this.answers) {
      const before = seen.get(number);
      if (before !== undefined) assert.equal(frame, before, `number ${number} said differently`);
      assert.ok(number <= highest + 1, `number ${number} after ${highest}: one is lost`);
      highest = Math.max(highest, number);
      seen.set(number, frame);
    }
  }

  get repeats(): number {
    return this.answers.length - new Set(this.answers.map(({ number }) => number)).size;
  }
}

export class TestBoard {
  readonly name: 'a' | 'b';
  readonly events: ReplicationEvent[] = [];
  readonly arbiter: ArbiterEvent[] = [];
  readonly statements: Uint8Array[] = [];
  readonly disk: string;
  replication!: GuestReplication;
  port!: Port;
  reign: CurrentRole;
  private wakers: (() => void)[] = [];

  constructor(name: 'a' | 'b', disk: string, boot: number) {
    this.name = name;
    this.disk = disk;
    const grant = null;
    this.reign = {
      ...{ role: 'seeking', pairState: 'STARTUP', boot, generation: 1, session: 1, grant },
    };
  }

  async open(port: Port, plan: GuestPlan, options: Partial<ReplicationOptions>): Promise<this> {
    this.port = port;
    this.replication = await GuestReplication.open({
      plan: {
        ...plan,
        disks: plan.disks.map((disk) => ({ ...disk, path: disk.path || this.disk })),
      },
      makeChannel: (handler) => new Channel({ ...testChannelOptions, paths: [{ port }], handler }),
      events: {
        arbiter: (event) => {
          this.arbiter.push(event);
          this.wake();
        },
        statement: (frame) => {
          this.statements.push(frame);
          this.wake();
        },
        event: (event) => {
          this.events.push(event);
          if (process.env.TWINSTEP_TALK)
            console.log(
              performance.now().toFixed(0),
              this.name,
              event.code,
              event.text,
              JSON.stringify(event.data ?? {}),
            );
          this.wake();
        },
      },
      ...options,
    });
    return this;
  }

  is(role: Role, more: Partial<CurrentRole> = {}): void {
    this.reign = { ...this.reign, role, ...more };
    this.replication.tellRole(this.reign);
  }

  wake(): void {
    for (const waker of this.wakers.splice(0)) waker();
  }

  /** Until it is so; looked at after everything this board says, and now and then. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      const timer = setTimeout(() => this.wake(), 5);
      await new Promise<void>((resolve) => this.wakers.push(resolve));
      clearTimeout(timer);
    }
  }

  async told<Type extends ArbiterEvent['type']>(
    type: Type,
  ): Promise<Extract<ArbiterEvent, { type: Type }>> {
    await this.until(() => this.arbiter.some((event) => event.type === type));
    const at = this.arbiter.findIndex((event) => event.type === type);
    return this.arbiter.splice(at, 1)[0] as Extract<ArbiterEvent, { type: Type }>;
  }

  codes(): string[] {
    return this.events.map(({ code }) => code);
  }
}

export interface RigOptions {
  readonly random: SeededRandom;
  readonly plan?: Partial<GuestPlan>;
  /** Where it is unlike. */
  readonly planOfB?: Partial<GuestPlan>;
  /** What lies between a board and the cable. */
  readonly wrap?: (port: Port, name: 'a' | 'b') => Port;
  readonly replication?: Partial<ReplicationOptions>;
  readonly diskBytes?: number;
  /** The boards remember what changes on their disks. */
  readonly remembers?: boolean;
  /** Contents of the disks; @default random and unlike. */
  readonly disks?: (name: 'a' | 'b') => Uint8Array;
}

export class Rig {
  readonly plant: Plant;
  readonly folder = mkdtempSync(join(tmpdir(), 'twinstep-replication-'));
  readonly cable = new Cable();
  readonly plan: GuestPlan;
  a!: TestBoard;
  b!: TestBoard;
  private readonly options: RigOptions;
  /** Numbers of starts, for each board its own. */
  private readonly boots = { a: 10, b: 1000 };

  constructor(options: RigOptions) {
    this.options = options;
    this.plant = new Plant(options.random);
    this.plan = {
      ...{ kernel: buildGuest('plc'), initrd: undefined, append: '', memoryBytes: 8 << 20 },
      engine: 'soft',
      nics: [{ mac: GUEST_MAC, tap: 'none' }],
      disks: [{ path: '', isReadOnly: false }],
      com1: { kind: 'none' },
      com2: { kind: 'none' },
      onPowerOff: 'stop',
      ...options.plan,
    };
    const { random, diskBytes = DISK_BYTES } = options;
    const content = options.disks ?? (() => random.bytes(diskBytes));
    for (const name of ['a', 'b'] as const) writeFileSync(this.disk(name), content(name));
    this.plant.heard = () => {
      this.a?.wake();
      this.b?.wake();
    };
  }

  /** Where a board keeps what it remembers. */
  state(name: 'a' | 'b'): string {
    const folder = join(this.folder, `state-${name}`);
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  disk(name: 'a' | 'b'): string {
    return join(this.folder, `${name}.img`);
  }

  async open(): Promise<this> {
    this.a = await this.board('a');
    this.b = await this.board('b', this.options.planOfB);
    await this.a.until(() => this.a.replication.link.isUp);
    await this.b.until(() => this.b.replication.link.isUp);
    return this;
  }

  board(name: 'a' | 'b', plan: Partial<GuestPlan> = {}): Promise<TestBoard> {
    const { wrap } = this.options;
    const end = this.cable.port(name === 'a' ? 0 : 1);
    const port = wrap === undefined ? end : wrap(end, name);
    const board = new TestBoard(name, this.disk(name), this.boots[name]++);
    const openBackends = this.plant.opens(name);
    // A host that is shared starves a backup now and then; that is not what most tests are about.
    const limits = { lag: { ...LAG_LIMITS, hardMs: 300_000 }, baseMs: 2_000 };
    const changes = this.options.remembers
      ? { changes: { folder: this.state(name), pair: 'p' } }
      : {};
    const options = { openBackends, limits, ...changes, ...this.options.replication };
    return board.open(port, { ...this.plan, ...plan }, options);
  }

  /** A guest from power-on, alone. */
  async lead(board: TestBoard): Promise<void> {
    board.is('promoting');
    board.replication.bootGuest();
    board.is('solo');
    board.replication.gate('open');
    await board.until(() => board.replication.facts().guest === 'leading');
  }

  /** Both are told to bring the follower into step; resolves when the leader says it is. */
  async sync(leader: TestBoard, follower: TestBoard, session: number): Promise<void> {
    this.startSync(leader, follower, session);
    await leader.told('sync-done');
  }

  startSync(leader: TestBoard, follower: TestBoard, session: number): void {
    const { generation } = leader.reign;
    follower.is('target', { session, generation });
    follower.replication.syncTarget(session);
    leader.is('source');
    leader.replication.syncSource({ boot: follower.reign.boot, session });
  }

  /** From sync-done to RUN-Redundant. */
  async grant(leader: TestBoard, follower: TestBoard): Promise<void> {
    const grant = { boot: follower.reign.boot, session: follower.reign.session };
    leader.is('granting');
    leader.replication.gate('acked');
    await turn();
    leader.is('protected', { grant });
    leader.replication.markLog('grant', grant);
    assert.is((await follower.told('marked')).mark, 'grant');
    follower.is('backup');
  }

  async protect(leader: TestBoard, follower: TestBoard, session: number): Promise<void> {
    await this.sync(leader, follower, session);
    await this.grant(leader, follower);
  }

  /** As if its power was cut: nothing leaves it any more, to nobody. */
  async kill(board: TestBoard): Promise<void> {
    board.replication.gate('closed');
    board.port.close();
    await board.replication.close();
  }

  /** The board starts again, with its disk as it was left. */
  async revive(name: 'a' | 'b'): Promise<TestBoard> {
    const board = await this.board(name);
    this[name] = board;
    await board.until(() => board.replication.link.isUp);
    return board;
  }

  /** In order, so that nothing is under way on either disk: hand over, then end both. */
  async stopBoth(leader: TestBoard, backup: TestBoard): Promise<void> {
    leader.replication.gate('closed');
    leader.replication.pauseGuest();
    leader.replication.markLog('leave', leader.reign.grant!);
    await backup.told('marked');
    const same = () =>
      backup.replication.facts().position === leader.replication.facts().position &&
      leader.replication.facts().diskBusySinceMs === null &&
      backup.replication.facts().diskBusySinceMs === null;
    await backup.until(same);
    await leader.replication.close();
    await backup.replication.close();
  }

  /** Some byte of the guest's memory there is not what it was. */
  damage(board: TestBoard): void {
    const memory = new GuestMemory({ token: board.replication.runner.vcpu!.memoryToken });
    const bytes = new Uint8Array(memory.buffer);
    // Where the plant controller keeps what it computes with.
    for (let at = 0x10_0000; at < bytes.length; at += 64) bytes[at] = (bytes[at] as number) ^ 0x10;
    memory.close();
  }

  /** The backup decided to lead. */
  takeOver(board: TestBoard): void {
    board.is('promoting', { generation: board.reign.generation + 1, grant: null });
    board.replication.goLive();
    board.replication.announceGuest();
    board.is('solo');
    board.replication.gate('open');
  }

  /** The leader stands, and the backup has all of its log. */
  async offer(leader: TestBoard, backup: TestBoard): Promise<void> {
    leader.replication.gate('closed');
    leader.replication.pauseGuest();
    leader.is('leaving');
    leader.replication.markLog('leave', leader.reign.grant!);
    assert.is((await backup.told('marked')).mark, 'leave');
  }

  /** The leader leaves; the backup takes over and keeps it in step. */
  async handOver(leader: TestBoard, backup: TestBoard): Promise<void> {
    await this.offer(leader, backup);
    const generation = leader.reign.generation + 1;
    const grant = { boot: leader.reign.boot, session: leader.reign.session };
    backup.is('promoting', { generation, grant: null });
    backup.replication.goLive();
    await turn();
    backup.replication.announceGuest();
    backup.is('protected', { grant });
    backup.replication.gate('acked');
    backup.replication.markLog('grant', grant);
    await turn();
    leader.is('backup', { generation, grant: null });
    leader.replication.follow(backup.reign.boot, leader.reign.session);
    assert.is((await leader.told('marked')).mark, 'grant');
  }

  /** Questions until so many more answers were heard. */
  async talk(count: number): Promise<void> {
    const until = this.plant.answers.length + count;
    const board = this.a.replication.runner.leads ? this.a : this.b;
    while (this.plant.answers.length < until) {
      const before = this.plant.answers.length;
      this.plant.ask();
      const patienceMs = performance.now() + 100;
      await board.until(() => this.plant.answers.length > before || performance.now() > patienceMs);
    }
  }

  disksAreEqual(): boolean {
    return Buffer.compare(readFileSync(this.disk('a')), readFileSync(this.disk('b'))) === 0;
  }

  async close(): Promise<void> {
    await this.a?.replication?.close();
    await this.b?.replication?.close();
    rmSync(this.folder, { recursive: true });
  }
}

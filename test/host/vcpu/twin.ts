// Two boards in one process, wired by direct calls: what the leader logs is pushed into the follower,
// each has a disk of its own in memory, and everything either says wakes whoever waits for it.
import { readFileSync } from 'node:fs';
import type { DiskRequest, Input } from '../../../firmware/devices/contracts.ts';
import {
  type LiveFacts,
  Vcpu,
  type VcpuEnd,
  type VcpuOptions,
} from '../../../firmware/host/vcpu/vcpu.ts';
import type { Divergence } from '../../../firmware/lockstep/replayer.ts';
import { GuestMemory } from '../../../native/index.ts';
import { assert, type SeededRandom } from '../../harness/index.ts';
import { buildGuest } from '../../softcpu/guest.ts';

export type TwinGuest = Pick<
  VcpuOptions['config'],
  'memoryBytes' | 'kernel' | 'initrd' | 'commandLine'
>;

export const plc = (): TwinGuest => ({
  memoryBytes: 8 << 20,
  kernel: new Uint8Array(readFileSync(buildGuest('plc'))),
  initrd: undefined,
  commandLine: '',
});

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const CLIENT = Uint8Array.of(2, 0, 0, 0, 0, 9);
/** How a frame of `ping()` begins, in the log as on the wire. */
export const PING_HEAD = Buffer.of(...MAC, ...CLIENT, 0x88, 0xb6);
export const DISK_BYTES = 4 << 20;

/** How soon a fact is looked at again when nothing is said about it. */
const LOOK_MS = 2;

/** Lets events come; a turn of the event loop, not a time. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

export class Board {
  readonly name: string;
  vcpu!: Vcpu;
  disk = new Uint8Array(DISK_BYTES);
  /** Bytes of every frame the guest sent, in order, with the numbers of the outputs. */
  readonly frames: { sequence: bigint; frame: Uint8Array }[] = [];
  text = '';
  /** What COM1 said, piece by piece; leading: the last number of everything that was given at once. */
  readonly pieces: { sequence: bigint; text: string }[] = [];
  readonly cuts: bigint[] = [];
  /** Numbers up to here were made before this board had the guest. */
  from = 0n;
  private leads = false;
  private isMute = false;
  /** How often it said anything: a clock for tests. */
  said = 0;
  /** Bytes of serial input that the guest took. */
  serialTaken = 0;
  reboots = 0;
  divergences: Divergence[] = [];
  ended: VcpuEnd | undefined;
  /** Disk requests that are out, and whether this disk works at all. */
  requests = 0;
  diskFails = false;
  diskHolds = false;
  heldRequests: DiskRequest[] = [];
  lastSequence = 0n;
  to: ((bytes: Uint8Array) => void) | undefined;

  private readonly guest: TwinGuest;
  private readonly random: SeededRandom;
  private wakers: (() => void)[] = [];

  constructor(name: string, guest: TwinGuest, random: SeededRandom) {
    this.name = name;
    this.guest = guest;
    this.random = random;
  }

  async start(): Promise<this> {
    this.vcpu = await Vcpu.start(this.options());
    this.leads = true;
    return this.watched();
  }

  async adopt(memoryToken: number, checkpoint: Uint8Array): Promise<this> {
    this.vcpu = await Vcpu.adopt(this.options(), { memoryToken, checkpoint });
    return this.watched();
  }

  private watched(): this {
    this.vcpu.ended.then(
      (end) => {
        this.ended = end;
        this.wake();
      },
      () => this.wake(),
    );
    return this;
  }

  options(): VcpuOptions {
    return {
      config: {
        ...this.guest,
        devices: {
          nics: [{ mac: MAC }],
          disks: [{ sectors: DISK_BYTES / 512, isReadOnly: false, serial: 'twin' }],
          hasConsole: true,
        },
        epochSeconds: 1_700_000_000,
        entropySeed: new Uint8Array(32).fill(5),
        multiplier: 10n << 32n,
      },
      log: { kind: 'stream', digestIntervalNs: 20_000_000n },
      restartsOn: ['reset', 'off', 'triple-fault'],
      onOutputs: (outputs) => {
        if (this.isMute) return;
        for (const one of outputs) {
          assert.ok(one.sequence > this.lastSequence || one.kind === 'serial-tx', 'numbers grow');
          if (one.sequence > this.lastSequence) this.lastSequence = one.sequence;
          if (one.kind === 'net-tx') this.frames.push({ sequence: one.sequence, frame: one.frame });
          if (one.kind === 'serial-tx' && one.port === 'com1') {
            const text = Buffer.from(one.bytes).toString('latin1');
            this.text += text;
            this.pieces.push({ sequence: one.sequence, text });
          }
        }
        if (this.leads) this.cuts.push(this.lastSequence);
        this.wake();
      },
      onDiskRequest: (request) => this.request(request),
      onLog: (bytes) => {
        this.to?.(bytes);
        this.wake();
      },
      onReboot: () => {
        this.reboots++;
        this.wake();
      },
      onSerialTaken: (_port, bytes) => {
        this.serialTaken += bytes;
        this.wake();
      },
      onDivergence: (divergence) => {
        this.divergences.push(divergence);
        this.wake();
      },
      onProgress: () => this.wake(),
    };
  }

  /**
   * Until it is so, looked at after everything this board says, and now and then: its facts are
   * words of memory, and the last change of one may come after the last thing that was said.
   */
  async until(isSo: () => boolean): Promise<void> {
    const look = setInterval(() => this.wakeAll(), LOOK_MS);
    try {
      while (!isSo()) {
        await new Promise<void>((resolve) => {
          this.wakers.push(resolve);
        });
      }
    } finally {
      clearInterval(look);
    }
  }

  /** Until it has said something some more times. */
  async more(times: number): Promise<void> {
    const until = this.said + times;
    await this.until(() => this.said >= until);
  }

  async goLive(log: boolean): Promise<LiveFacts> {
    // One host, one clock.
    const facts = await this.vcpu.goLive({ log, peerClockNs: 0n });
    this.leads = true;
    return facts;
  }

  async follow(): Promise<void> {
    this.leads = false;
    await this.vcpu.follow();
  }

  /** Whatever it says from now on, nobody hears it. */
  mute(): void {
    this.to = undefined;
    this.isMute = true;
  }

  async stop(): Promise<VcpuEnd> {
    this.vcpu.stop();
    return await this.vcpu.ended;
  }

  type(text: string): void {
    this.vcpu.send([{ kind: 'serial-rx', port: 'com1', bytes: Buffer.from(text, 'latin1') }]);
  }

  /** A frame the guest answers with the next number. */
  ping(): void {
    const frame = new Uint8Array(60 + this.random.int(1000));
    frame.set(PING_HEAD, 0);
    frame.set(this.random.bytes(18), PING_HEAD.length);
    this.vcpu.send([{ kind: 'net-rx', nic: 0, frame }]);
  }

  /** The running numbers in the answers. */
  numbers(): bigint[] {
    return this.frames.map(({ frame }) => Buffer.from(frame).readBigUInt64LE(44));
  }

  /** What COM1 said from one number to another, both boards having had the guest in between. */
  textBetween(from: bigint, through: bigint): string {
    return this.pieces
      .filter(({ sequence }) => sequence > from && sequence <= through)
      .map(({ text }) => text)
      .join('');
  }

  releaseDisk(): void {
    this.diskHolds = false;
    for (const request of this.heldRequests.splice(0)) this.request(request);
  }

  private request(request: DiskRequest): void {
    if (this.diskHolds) {
      this.heldRequests.push(request);
      this.wake();
      return;
    }
    const { kind: _kind, disk, id, operation, offset, bytes } = request;
    let data: Uint8Array | undefined;
    if (operation === 'read') data = this.disk.slice(offset, offset + bytes);
    else if (operation === 'write') this.disk.set(request.data!, offset);
    else if (operation !== 'flush') this.disk.fill(0, offset, offset + bytes);
    const status = this.diskFails ? 'io-error' : 'ok';
    const completion: Input = { kind: 'disk-completion', disk, id, status, data };
    this.requests++;
    void this.later(() => this.vcpu.send([completion]));
  }

  /** After some turns of the event loop: two disks are never equally fast. */
  private async later(then: () => void): Promise<void> {
    for (let left = this.random.int(4); left > 0; left--) await turn();
    then();
  }

  private wake(): void {
    this.said++;
    this.wakeAll();
  }

  private wakeAll(): void {
    for (const waker of this.wakers.splice(0)) waker();
  }
}

/** Brings `follower` into step with `leader`, which goes on as its source. */
export async function sync(leader: Board, follower: Board): Promise<void> {
  const { state, position } = await leader.vcpu.checkpoint();
  assert.is(position, leader.vcpu.facts().position);
  assert.is(leader.vcpu.facts().doing, 'paused');
  const theirs = new GuestMemory({ token: leader.vcpu.memoryToken });
  const ours = new GuestMemory({ bytes: theirs.buffer.byteLength });
  new Uint8Array(ours.buffer).set(new Uint8Array(theirs.buffer));
  follower.disk = leader.disk.slice();
  follower.from = leader.lastSequence;
  const waiting: Uint8Array[] = [];
  leader.to = (bytes) => waiting.push(bytes);
  await leader.vcpu.resume({ log: true });
  await follower.adopt(ours.token, state);
  theirs.close();
  ours.close();
  for (const bytes of waiting) follower.vcpu.push(bytes);
  leader.to = (bytes) => follower.vcpu.push(bytes);
}

/** The follower has applied everything, and stands where the leader stands still. */
export async function caughtUp(leader: Board, follower: Board): Promise<void> {
  await leader.vcpu.pause();
  const { position } = leader.vcpu.facts();
  await follower.until(
    () =>
      follower.divergences.length > 0 ||
      (follower.vcpu.facts().position === position &&
        follower.vcpu.facts().entriesApplied >= leader.vcpu.facts().entriesApplied),
  );
  assert.equal(follower.divergences, []);
  // Facts are known before the messages are here: an answer comes after them.
  await follower.vcpu.takeDirty();
}

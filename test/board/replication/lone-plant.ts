// One board's guest with a log that is read, and inputs that come in as from its backends.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GuestPlan } from '../../../firmware/board/config/types.ts';
import {
  GuestRunner,
  type OpenBackends,
} from '../../../firmware/board/replication/guest-runner.ts';
import type { Input } from '../../../firmware/devices/contracts.ts';
import type { BackendEvents } from '../../../firmware/host/backends.ts';
import type { EntryBody } from '../../../firmware/lockstep/entry.ts';
import { ItemReader } from '../../../firmware/lockstep/item-stream.ts';
import { buildGuest } from '../../softcpu/guest.ts';

export const GUEST_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
export const CLIENT_MAC = Uint8Array.of(2, 0, 0, 0, 0, 9);

const DISK_BYTES = 4 << 20;

const PLAN: Omit<GuestPlan, 'kernel' | 'disks'> = {
  initrd: undefined,
  append: '',
  memoryBytes: 8 << 20,
  engine: 'soft',
  nics: [{ mac: GUEST_MAC, tap: 'tap0' }],
  com1: { kind: 'none' },
  com2: { kind: 'none' },
  onPowerOff: 'stop',
};

export function frame(to: Uint8Array, from: Uint8Array, type: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(60);
  bytes.set([...to, ...from, ...type]);
  return bytes;
}

/** Where the plant controller leads, alone. */
export class LonePlant {
  nowMs = 0;
  answers = 0;
  lives = 1;
  readonly runner: GuestRunner;
  private readonly entry: (body: EntryBody) => void;
  private readonly reader = new ItemReader();
  private events!: BackendEvents;
  private wake: () => void = () => {};

  /** `entry` is told of each in the log. */
  constructor(entry: (body: EntryBody) => void) {
    this.entry = entry;
    const open: OpenBackends = async (_spec, events) => {
      this.events = events;
      return { start: () => {}, deliver: () => {}, serialTaken: () => {}, close: async () => {} };
    };
    const ignore = () => {};
    const events = {
      ...{ onProgress: ignore, onDivergence: ignore, onEnded: ignore },
      ...{ onDiskTrouble: ignore, onNotice: ignore },
      isBackedUp: () => false,
      onReboot: (life: number) => {
        this.lives = life;
        this.wake();
      },
      onLog: (bytes: Uint8Array) => this.read(bytes),
      onOutputs: (outputs: readonly { readonly kind: string }[]) => {
        this.answers += outputs.filter(({ kind }) => kind === 'net-tx').length;
        this.wake();
      },
    };
    const path = join(mkdtempSync(join(tmpdir(), 'twinstep-plant-')), 'disk.img');
    writeFileSync(path, new Uint8Array(DISK_BYTES));
    const plan = { ...PLAN, kernel: buildGuest('plc'), disks: [{ path, isReadOnly: false }] };
    this.runner = new GuestRunner(plan, events, () => this.nowMs, open);
  }

  async start(): Promise<void> {
    await this.runner.boot();
    await this.runner.vcpu!.startLog();
  }

  takes(...inputs: Input[]): void {
    this.events.onInputs(inputs);
  }

  takesFrames(...frames: Uint8Array[]): void {
    this.takes(...frames.map((frame): Input => ({ kind: 'net-rx', nic: 0, frame })));
  }

  /** A question the guest answers, asked again where a full ring lost it; how often it was asked. */
  async ask(): Promise<number> {
    const before = this.answers;
    for (let asked = 1; ; asked++) {
      this.takesFrames(frame(GUEST_MAC, CLIENT_MAC, [0x88, 0xb6]));
      await this.news(200);
      if (this.answers > before) return asked;
    }
  }

  /** Something was said, or so much time has passed. */
  async news(patienceMs: number): Promise<void> {
    const timer = setTimeout(() => this.wake(), patienceMs);
    await new Promise<void>((resolve) => {
      this.wake = resolve;
    });
    clearTimeout(timer);
  }

  private read(bytes: Uint8Array): void {
    for (const item of this.reader.push(bytes))
      if (item.kind === 'entry') this.entry(item.entry.body);
    this.wake();
  }
}

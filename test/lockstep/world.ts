// A seeded world around a recorder: it cuts slices at random, answers disks late and out of order,
// types on the console, sends frames, and steps the clock, all at moments no guest could predict.

import type { Input } from '../../firmware/devices/contracts.ts';
import type { ExternalOutput } from '../../firmware/lockstep/outputs.ts';
import type { Recorder } from '../../firmware/lockstep/recorder.ts';
import type { SliceEnd } from '../../firmware/machine/machine-types.ts';
import type { SeededRandom } from '../harness/index.ts';
import type { Rig } from './rig.ts';

const MS = 1_000_000n;
const GUEST_MAC = [2, 0, 0, 0, 0, 1];
const COMMANDS = [
  'uptime',
  'ls -l /bin | md5sum',
  'seq 1 300 | sort | md5sum',
  'cat /proc/interrupts',
];

export class World {
  console = '';
  frames = 0;
  private readonly random: SeededRandom;
  private readonly rig: Rig;

  constructor(rig: Rig, random: SeededRandom) {
    this.rig = rig;
    this.random = random;
  }

  onOutput = (output: ExternalOutput): void => {
    if (output.kind === 'serial-tx' && output.port === 'com1') {
      this.console += String.fromCharCode(output.byte);
    } else if (output.kind === 'net-tx') this.frames++;
  };

  /** Drives the recorder until `until()` or the guest stops; digests every so often. */
  run(recorder: Recorder, until: () => boolean, onSlice: (end: SliceEnd) => void = () => {}): void {
    const { random, rig } = this;
    const { machine } = rig;
    while (!until() && machine.stopReason === undefined) {
      const length = random.pick([10, 5_000, 300_000, 3_000_000]);
      const end = recorder.runSlice(machine.position + BigInt(1 + random.int(length)));
      onSlice(end);
      if (end === 'stopped') return;
      this.disks(recorder, end === 'idle');
      this.clock(recorder, end === 'idle');
      if (random.chance(0.01)) this.surprise(recorder);
      if (random.chance(0.02)) recorder.writeDigest();
    }
  }

  private disks(recorder: Recorder, isIdle: boolean): void {
    const { random, rig } = this;
    for (let waiting = rig.disk.waiting; waiting.length > 0; waiting = rig.disk.waiting) {
      if (!isIdle && random.chance(0.5)) return;
      recorder.inject(rig.disk.take(random.pick(waiting)));
    }
  }

  private clock(recorder: Recorder, isIdle: boolean): void {
    const { random, rig } = this;
    const nowNs = rig.machine.nowNs();
    if (isIdle) {
      const deadline = rig.machine.nextDeadlineNs() ?? nowNs + 10n * MS;
      const ns = (deadline > nowNs ? deadline : nowNs) + BigInt(random.int(50_000));
      recorder.inject({ kind: 'clock-step', ns, multiplier: rig.machine.multiplier });
    } else if (random.chance(0.2)) {
      const multiplier = (BigInt(4 + random.int(6)) << 32n) + BigInt(random.int(1_000_000));
      const ns = nowNs + BigInt(random.int(100_000));
      recorder.inject({ kind: 'clock-step', ns, multiplier });
    }
  }

  private surprise(recorder: Recorder): void {
    const input = this.surpriseInput();
    if (input !== undefined) recorder.inject(input);
  }

  private surpriseInput(): Input | undefined {
    const { random } = this;
    switch (random.int(4)) {
      case 0: {
        if (!this.console.includes('/ #')) return undefined;
        const bytes = Buffer.from(`${random.pick(COMMANDS)}\n`);
        return { kind: 'serial-rx', port: 'com1', bytes };
      }
      case 1:
        return { kind: 'serial-rx', port: 'com2', bytes: random.bytes(1 + random.int(30)) };
      default:
        return { kind: 'net-rx', nic: 0, frame: this.frame() };
    }
  }

  /** Noise, or an ARP question the guest must answer. */
  private frame(): Uint8Array {
    const { random } = this;
    const frame = Buffer.alloc(60);
    frame.set(random.chance(0.5) ? GUEST_MAC : [255, 255, 255, 255, 255, 255], 0);
    frame.set([2, 9, 9, 9, 9, 9], 6);
    if (random.chance(0.3))
      return Buffer.concat([frame.subarray(0, 12), random.bytes(random.int(1400) + 48)]);
    frame.set([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1, 2, 9, 9, 9, 9, 9, 10, 0, 0, 1], 12);
    frame.set([10, 0, 0, 2], 38);
    return frame;
  }
}

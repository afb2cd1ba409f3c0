// A recorded Linux guest with everything a guest can have, its random plant, and what is left of it: a
// log, the disk before and after. For tests that make it again in another process.
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LinuxGuest } from '../guests/linux/assemble.ts';
import { assert, type SeededRandom } from '../harness/index.ts';
import { steps } from './load.ts';
import { LinuxRig, STEP_MS } from './rig.ts';
import { type Outcome, twinstep } from './twinstep.ts';

export class RecordedLinux {
  readonly rig: LinuxRig;
  readonly log: string;
  /** The disk as it was. */
  readonly before: string;
  readonly folder = mkdtempSync(join(tmpdir(), 'twinstep-recorded-'));
  private readonly guest: LinuxGuest;
  private readonly random: SeededRandom;

  /** Needs a network namespace of its own, without a guest before it. */
  constructor(guest: LinuxGuest, random: SeededRandom) {
    this.guest = guest;
    this.random = random;
    this.log = join(this.folder, 'log');
    this.before = join(this.folder, 'disk.before');
    LinuxRig.makeDisk(this.before);
    this.rig = new LinuxRig(guest, { log: this.log });
  }

  /** Boots, lives through `rounds` random steps beside clients and noise, and ends by a reset. */
  async live(rounds: number, most: number): Promise<string[]> {
    const { rig, random } = this;
    await rig.booted();
    await rig.counts();
    await rig.serve();
    const names: string[] = [];
    for (let round = 0; round < rounds; round++) {
      const step = random.pick(steps(rig, random, most));
      names.push(step.name);
      await Promise.all([step.run(), rig.talk(random.int(1000), 5), this.noise(step.name)]);
    }
    return names;
  }

  /** Bytes nobody in the guest asked for, into the serial line that the step leaves alone. */
  private async noise(step: string): Promise<void> {
    if (step === 'com2') return;
    const socket = connect(this.rig.com2);
    const isOpen = new Promise((resolve) => socket.once('connect', resolve));
    await isOpen;
    for (let burst = 0; burst < 5; burst++) {
      socket.write(this.random.bytes(1 + this.random.int(200)));
      await new Promise((resolve) => setTimeout(resolve, this.random.int(20)));
    }
    socket.destroy();
  }

  /** Leaves the shell, which resets the machine and so ends the recording. */
  async ends(): Promise<void> {
    const { running } = this.rig.terminal;
    running.type('exit\n');
    await running.console.waitFor(/@done shell/, STEP_MS);
    assert.is(await running.ended(), 0, running.stderr.text);
  }

  /** What a replay needs beside the log. */
  get files(): string[] {
    const { kernel, initrd } = this.guest;
    return ['--kernel', kernel, '--initrd', initrd, '--disk', this.before];
  }

  /** In a new process. */
  replay(...options: string[]): Outcome {
    return twinstep('replay', this.log, ...this.files, ...options);
  }

  async close(): Promise<void> {
    await this.rig.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

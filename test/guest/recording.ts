// A recorded Linux guest with everything a guest can have, its random plant, and what is left of it: a
// log, the disk before and after. For tests that make it again in another process.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Entry } from '../../firmware/lockstep/entry.ts';
import { LogReader } from '../../firmware/lockstep/log-file.ts';
import type { LinuxGuest } from '../guests/linux/assemble.ts';
import { assert, repoPath, type SeededRandom } from '../harness/index.ts';
import { steps } from './load.ts';
import type { ResumeJob } from './resume.ts';
import { BOOT_MS, LinuxRig, STEP_MS, TAP, talk } from './rig.ts';
import { type Outcome, Running, twinstep } from './twinstep.ts';

/**
 * Whatever the guest is in the middle of: interrupts it until its shell answers. A program that waits for
 * somebody who was there in the recording only would wait for ever.
 */
async function answers(live: Running): Promise<void> {
  const deadline = performance.now() + BOOT_MS;
  while (performance.now() < deadline) {
    live.type('\x03\necho "@al""ive"\n');
    try {
      await live.console.waitFor(/@alive/, 3000);
      return;
    } catch (error) {
      if (String(error).includes('ended with')) throw error;
    }
  }
  throw new Error(`the guest never answered:\n${live.console.text.slice(-1000)}`);
}

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
    await rig.shell('exec 4<>/dev/ttyS1; stty raw -echo <&4; cat <&4 >/tmp/noise & true');
    const mix = steps(rig, random, most).filter(({ name }) => name !== 'com2');
    const names: string[] = [];
    for (let round = 0; round < rounds; round++) {
      const step = random.pick(mix);
      names.push(step.name);
      await Promise.all([step.run(), rig.talk(random.int(1000), 5), this.noise()]);
    }
    return names;
  }

  /** Random bytes at random moments into the second serial line, which the guest keeps reading. */
  private async noise(): Promise<void> {
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

  /** Entries of the log before the one that told the guest to end. */
  entriesOfLife(): number {
    const entries = new LogReader().push(readFileSync(this.log));
    const isExit = ({ body }: Entry) =>
      body.kind === 'serial-rx' &&
      body.port === 'com1' &&
      String(Buffer.from(body.bytes)) === 'exit\n';
    const end = entries.findLastIndex(isExit);
    assert.ok(end > 0, 'the guest was never told to end');
    return end;
  }

  /**
   * Replays the first `entries` of the log in a new process, goes live there and shows that the guest
   * works: it answers on its console and over TCP. The log of that life replays in one more process.
   */
  async goesLive(entries: number): Promise<void> {
    const { guest, rig, folder } = this;
    const newLog = join(folder, 'log.live');
    const job: ResumeJob = {
      ...{ log: this.log, entries, kernel: guest.kernel, initrd: guest.initrd, disk: this.before },
      ...{ tap: TAP, cable: rig.cable, com2: rig.com2, console: rig.console, newLog },
    };
    const program = repoPath('dist/test/guest/resume.js');
    const child = spawn(process.execPath, [program, JSON.stringify(job)], { stdio: 'pipe' });
    const live = new Running(child, (text) => void child.stdin.write(text));
    try {
      await live.stderr.waitFor(/live/, BOOT_MS);
      await answers(live);
      const isServing = "grep -q ':0007 ' /proc/net/tcp*";
      await live.shell(`${isServing} || (sh /scripts/serve </dev/null &)`, STEP_MS);
      await live.shell(`until ${isServing}; do :; done`, STEP_MS);
      await Promise.all([1, 2].map(() => talk(this.random.int(1000), 10)));
      // Whatever was being written when the world ended: the disk itself answers.
      const last = 'bs=512 count=1 conv=notrunc';
      await live.shell(`echo works | dd of=/dev/vda seek=32760 ${last} && sync`, STEP_MS);
      await live.shell(`dd if=/dev/vda skip=32760 ${last} | grep works`, STEP_MS);
    } finally {
      await live.kill('SIGTERM');
    }
    assert.is(await live.ended(), 0, live.stderr.text);
    const { code, stderr } = twinstep('replay', newLog, ...this.files, '--verify', '--quiet');
    assert.is(code, 0, `live after ${entries} entries: ${stderr}`);
    assert.match(stderr, 'identical');
  }

  async close(): Promise<void> {
    await this.rig.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

// Recordings that are kicked all the time, and their replays: the same digests, wherever a kick fell. For
// the tests of this folder.
import { readFileSync } from 'node:fs';
import type { Input } from '../../firmware/devices/contracts.ts';
import type { Entry } from '../../firmware/lockstep/entry.ts';
import { Recorder } from '../../firmware/lockstep/recorder.ts';
import { assert, type SeededRandom, seededRandom } from '../harness/index.ts';
import { buildGuest } from '../softcpu/guest.ts';
import { Kicker } from './kicker.ts';
import { record, replay } from './recording.ts';
import { type GuestFiles, Rig } from './rig.ts';

/** The metal guest has its interrupt table by then; an NMI before that is its end, on hardware too. */
const READY_AT = 100_000n;

export interface KickedRun {
  readonly kicks: number;
  readonly digests: number;
  readonly instructions: bigint;
}

/** The metal guest that faults without end, for so many slices; then it is told to leave. */
export async function kickedFaults(seed: number, slices: number): Promise<KickedRun> {
  const random = seededRandom('kicks', seed);
  const kernel = new Uint8Array(readFileSync(buildGuest('stumble')));
  const files: GuestFiles = { kernel, commandLine: '' };
  const rig = new Rig();
  const entries: Entry[] = [];
  const recorder = new Recorder({
    machine: rig.machine,
    tap: rig.tap,
    digest: rig.digest,
    append: (entry) => entries.push(entry),
    onOutput: () => {},
    onDiskRequest: () => {},
  });
  rig.load(files);
  const kicker = new Kicker(rig.engine.kickToken, seed, 20_000);
  let kicks = 0;
  try {
    const { machine } = rig;
    for (let slice = 0; machine.stopReason === undefined; slice++) {
      const end = recorder.runSlice(machine.position + BigInt(1 + random.int(200_000)));
      if (end === 'stopped') break;
      if (end === 'kick') kicks++;
      if (end === 'idle') wake(rig, recorder);
      else if (machine.position > READY_AT) disturb(recorder, rig, random, slice < slices);
    }
  } finally {
    await kicker.end();
  }
  recorder.writeDigest();
  recorder.end();
  const digests = entries.filter(({ body }) => body.kind === 'digest').length;
  const again = replay(files, entries);
  assert.is(again.progress, 'ended', `seed ${seed}: ${JSON.stringify(words(again.replayer))}`);
  assert.equal(again.rig.fingerprint(), rig.fingerprint(), `seed ${seed}`);
  assert.equal(rig.machine.stopReason, { kind: 'debug-exit', code: 0 }, `seed ${seed}`);
  const instructions = rig.machine.position;
  rig.close();
  again.rig.close();
  return { kicks, digests, instructions };
}

/** A boot of Linux with the disk script, in the seeded world of the other tests, kicked all the time. */
export async function kickedLinux(files: GuestFiles, seed: number): Promise<{ kicks: number }> {
  let kicker: Kicker | undefined;
  let kicks = 0;
  const recording = record(files, seed, {
    onStart: (rig) => {
      kicker = new Kicker(rig.engine.kickToken, seed, 100_000);
    },
    onSlice: (end) => {
      if (end === 'kick') kicks++;
    },
  });
  await kicker?.end();
  const { rig, progress, replayer } = replay(files, recording.entries);
  assert.is(progress, 'ended', `seed ${seed}: ${JSON.stringify(words(replayer))}`);
  assert.equal(rig.fingerprint(), recording.rig.fingerprint(), `seed ${seed}`);
  recording.rig.close();
  rig.close();
  return { kicks };
}

/** The first difference with its numbers as text. */
export function words({ divergence }: { divergence?: object | undefined }): unknown {
  const text = (_: string, value: unknown) => (typeof value === 'bigint' ? `${value}` : value);
  return divergence && JSON.parse(JSON.stringify(divergence, text));
}

function wake(rig: Rig, recorder: Recorder): void {
  const { machine } = rig;
  const ns = machine.nextDeadlineNs() ?? machine.nowNs() + 1_000_000n;
  recorder.inject({ kind: 'clock-step', ns, multiplier: machine.multiplier });
}

/** Something at this very position, most of the time. */
function disturb(recorder: Recorder, rig: Rig, random: SeededRandom, goesOn: boolean): void {
  if (!goesOn) recorder.inject({ kind: 'serial-rx', port: 'com1', bytes: Buffer.from('q') });
  if (random.chance(0.3)) recorder.inject(input(rig, random));
  if (random.chance(0.3)) recorder.writeDigest();
}

function input({ machine }: Rig, random: SeededRandom): Input {
  switch (random.int(3)) {
    case 0:
      return { kind: 'control', action: 'nmi' };
    case 1: {
      const multiplier = (BigInt(2 + random.int(20)) << 32n) + BigInt(random.u32());
      return { kind: 'clock-step', ns: machine.nowNs() + BigInt(random.int(300_000)), multiplier };
    }
    default: {
      const bytes = random.bytes(1 + random.int(12)).map((byte) => byte & 0x5f);
      return { kind: 'serial-rx', port: 'com1', bytes };
    }
  }
}

/** How a run of the faulting guest is cut changes nothing, not one bit of what it pushed anywhere. */
export function cutFaults(seed: number, until: bigint): void {
  const random = seededRandom('cuts', seed);
  const kernel = new Uint8Array(readFileSync(buildGuest('stumble')));
  const run = (length: () => number) => {
    const rig = new Rig();
    rig.tap.target = () => {};
    rig.load({ kernel, commandLine: '' });
    const { machine } = rig;
    while (machine.position < until) {
      const limit = machine.position + BigInt(length());
      if (machine.runSlice(limit < until ? limit : until) !== 'idle') continue;
      const ns = machine.nextDeadlineNs() ?? 0n;
      machine.inject({ kind: 'clock-step', ns, multiplier: machine.multiplier });
    }
    const print = rig.fingerprint();
    rig.close();
    return print;
  };
  const whole = run(() => Number(until));
  assert.equal(
    run(() => 1 + random.int(3000)),
    whole,
    `seed ${seed}`,
  );
}

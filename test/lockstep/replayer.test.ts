// Corners of a replay that no Linux meets: a triple fault, and entries no machine can take.

import type { Entry, InputEntry } from '../../firmware/lockstep/entry.ts';
import { inputProblem } from '../../firmware/lockstep/inputs.ts';
import { Recorder } from '../../firmware/lockstep/recorder.ts';
import { Replayer } from '../../firmware/lockstep/replayer.ts';
import { assert, suite } from '../harness/index.ts';
import { tinyGuest } from '../host/tiny-guests.ts';
import { type GuestFiles, Rig, TARGETS } from './rig.ts';

const test = suite('lockstep/replayer');

function recorded(files: GuestFiles): Entry[] {
  const rig = new Rig().load(files);
  const entries: Entry[] = [];
  const recorder = new Recorder({
    ...{ machine: rig.machine, tap: rig.tap, digest: rig.digest },
    append: (entry) => entries.push(entry),
    onOutput: () => {},
    onDiskRequest: () => {},
  });
  assert.is(recorder.runSlice(1000n), 'stopped');
  recorder.writeDigest();
  recorder.end();
  rig.close();
  return entries;
}

function replayerOf(rig: Rig): Replayer {
  return new Replayer({
    ...{ machine: rig.machine, tap: rig.tap, digest: rig.digest, targets: TARGETS },
    onOutput: () => {},
    onDiskRequest: () => {},
    localCompletion: () => ({ state: 'pending' }),
  });
}

const files = (kernel: Uint8Array): GuestFiles => ({
  kernel,
  initrd: new Uint8Array(0),
  commandLine: '',
});

test('a triple fault, which retires nothing, is replayed', () => {
  for (const kernel of [tinyGuest.tripleFaults(), tinyGuest.resets('r'), tinyGuest.exits(3)]) {
    const entries = recorded(files(kernel));
    const rig = new Rig().load(files(kernel));
    const replayer = replayerOf(rig);
    for (const entry of entries) replayer.push(entry);
    let progress = replayer.advance();
    while (progress === 'applied') progress = replayer.advance();
    assert.is(progress, 'ended');
    assert.ok(rig.machine.stopReason !== undefined);
    rig.close();
  }
});

test('an output too many in the log is a difference, also where the guest could go on', () => {
  const rig = new Rig().load(files(tinyGuest.spins()));
  const replayer = replayerOf(rig);
  replayer.push({ position: 10n, body: { kind: 'output', sequence: 1n, hash: 0 } });
  assert.is(replayer.advance(), 'diverged');
  assert.is(replayer.divergence?.what, 'output');
  rig.close();
});

test('entries no machine can take are named', () => {
  const targets = { nics: 2, disks: 1, hasConsole: false };
  const none = { from: 'none' } as const;
  const good: InputEntry[] = [
    { kind: 'clock-step', ns: 5n, multiplier: 1n << 52n },
    { kind: 'net-rx', nic: 1, frame: new Uint8Array(60) },
    { kind: 'disk-completion', disk: 0, id: 1, status: 'ok', data: none },
    { kind: 'serial-rx', port: 'com2', bytes: new Uint8Array(1) },
    { kind: 'serial-break', port: 'com1' },
    { kind: 'control', action: 'nmi' },
  ];
  const bad: InputEntry[] = [
    { kind: 'clock-step', ns: 4n, multiplier: 1n },
    { kind: 'clock-step', ns: 6n, multiplier: (1n << 52n) + 1n },
    { kind: 'net-rx', nic: 2, frame: new Uint8Array(60) },
    { kind: 'disk-completion', disk: 1, id: 1, status: 'ok', data: none },
    { kind: 'serial-rx', port: 'console', bytes: new Uint8Array(1) },
    { kind: 'serial-break', port: 'console' },
    { kind: 'serial-line', port: 'console', cts: true, dsr: true, dcd: true, ri: false },
  ];
  for (const body of good) assert.is(inputProblem(body, 5n, targets), undefined, body.kind);
  for (const body of bad) assert.type(inputProblem(body, 5n, targets), 'string', body.kind);
  const rig = new Rig().load(files(tinyGuest.halts()));
  const replayer = replayerOf(rig);
  replayer.push({ position: 0n, body: bad[2]! });
  assert.is(replayer.advance(), 'diverged');
  assert.is(replayer.divergence?.what, 'log');
  rig.close();
});

test.run();

// The heart, on an unmodified Linux: what is recorded replays to the identical machine, any prefix
// goes live and goes on working, and a planted difference is found and named.
import type { ExternalOutput } from '../../firmware/lockstep/outputs.ts';
import { Recorder } from '../../firmware/lockstep/recorder.ts';
import { Replayer } from '../../firmware/lockstep/replayer.ts';
import { assert, runSeed, seededRandom, suite } from '../harness/index.ts';
import { guestFiles, type Recording, record, replay } from './recording.ts';
import { type GuestFiles, Rig, TARGETS } from './rig.ts';
import { World } from './world.ts';

const test = suite('lockstep/linux');

const files = guestFiles();
test.needs({ met: files !== undefined, why: 'needs Debian’s archive for the Linux guest' });

let recording: Recording;

test(
  'a recorded boot with disk, network and serial input ends in the identical machine',
  () => {
    recording = record(files as GuestFiles, runSeed());
    assert.match(recording.world.console, '@disk written');
    const output: ExternalOutput[] = [];
    const { rig, progress, replayer } = replay(files as GuestFiles, recording.entries, (one) =>
      output.push(one),
    );
    assert.is(progress, 'ended', JSON.stringify(replayer.divergence?.what));
    assert.equal(rig.fingerprint(), recording.rig.fingerprint());
    const text = output.map((one) =>
      one.kind === 'serial-tx' && one.port === 'com1' ? String.fromCharCode(one.byte) : '',
    );
    assert.is(text.join(''), recording.world.console);
    rig.close();
  },
  { timeoutMs: 300_000 },
);

test(
  'any prefix goes live and the guest works on',
  () => {
    const random = seededRandom('prefix');
    // Somewhere in the busy last third, where the disk script runs.
    const { entries } = recording;
    const length = Math.floor(entries.length * (0.66 + 0.3 * random.float()));
    const { rig, replayer, progress } = replay(files as GuestFiles, entries.slice(0, length));
    assert.is(progress, 'waiting');
    const world = new World(rig, seededRandom('after'));
    const recorder = new Recorder({
      outputs: replayer.outputs,
      machine: rig.machine,
      tap: rig.tap,
      digest: rig.digest,
      append: () => {},
      onOutput: world.onOutput,
      onDiskRequest: (request) => rig.disk.submit(request),
    });
    world.run(recorder, () => world.console.includes('@done disk'));
    assert.match(world.console, '@done disk 0');
    rig.close();
  },
  { timeoutMs: 300_000 },
);

test(
  'one flipped bit of memory is found at the next digest and named',
  () => {
    const { entries } = recording;
    const first = entries.findIndex((entry) => entry.body.kind === 'digest');
    const rig = new Rig();
    const replayer = new Replayer({
      machine: rig.machine,
      tap: rig.tap,
      digest: rig.digest,
      targets: TARGETS,
      onOutput: () => {},
      onDiskRequest: () => {},
      localCompletion: (_disk, id) => rig.disk.local(id),
    });
    rig.load(files as GuestFiles);
    for (const entry of entries.slice(0, first + 1)) replayer.push(entry);
    for (let at = 0; at < first; at++) assert.is(replayer.advance(), 'applied');
    // A page the kernel leaves alone in this moment: the end of the initrd, high in memory.
    const at = rig.bytes.length - (3 << 20) + 123;
    rig.bytes[at] = (rig.bytes[at] as number) ^ 4;
    rig.engine.memoryWritten(at, 1);
    assert.is(replayer.advance(), 'diverged');
    assert.is(replayer.divergence?.what, 'memory');
    assert.is(replayer.divergence?.entryIndex, first);
    assert.is(replayer.advance(), 'diverged');
    rig.close();
  },
  { timeoutMs: 300_000 },
);

test(
  'one altered entry is found and the first entry that differs is named',
  () => {
    const { entries } = recording;
    // A step that nothing corrects before the next digest: else the guest may never notice.
    const kindAfter = (index: number) =>
      entries.slice(index + 1).find(({ body }) => ['clock-step', 'digest'].includes(body.kind))
        ?.body.kind;
    const at = entries.findIndex(
      ({ body }, index) => body.kind === 'clock-step' && kindAfter(index) === 'digest',
    );
    assert.ok(at >= 0);
    const altered = entries.map((entry, index) =>
      index === at && entry.body.kind === 'clock-step'
        ? { ...entry, body: { ...entry.body, multiplier: entry.body.multiplier + 4096n } }
        : entry,
    );
    const next = entries.findIndex(({ body }, index) => index > at && body.kind === 'digest');
    const { rig, progress, replayer } = replay(files as GuestFiles, altered.slice(0, next + 1));
    assert.is(progress, 'diverged');
    assert.ok((replayer.divergence?.entryIndex ?? 0) > at);
    rig.close();
  },
  { timeoutMs: 300_000 },
);

test.after(() => recording?.rig.close());
test.run();

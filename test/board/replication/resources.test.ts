// What the guest lives on is lost while it runs: real TAPs in a bridge, real disk files, replication as it is. The
// script does what the arbiter would.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Backends } from '../../../firmware/host/backends.ts';
import { HostTap } from '../../../firmware/host/tap.ts';
import { GUEST_MAC } from '../../guest/guest-line.ts';
import { assert, needs, seededRandom, suite } from '../../harness/index.ts';
import { enterNamespace, ip } from '../../harness/netns.ts';
import { DISK_BYTES, Rig, type TestBoard } from './rig.ts';

await enterNamespace();
const test = suite('board/replication/resources');
test.needs(needs.networkNamespaces());
test.needs(needs.device('/dev/net/tun'));

const LONG = { timeoutMs: 120_000 };
/** A second, and what a busy machine adds. */
const WITHIN_MS = 10_000;
const CLIENT_MAC = Uint8Array.of(2, 0, 0, 0, 0, 9);
let rig: Rig;
let client: HostTap;
let answers = 0;

function addTap(name: string): void {
  ip('tuntap', 'add', 'dev', name, 'mode', 'tap');
  ip('link', 'set', name, 'master', 'plant');
  ip('link', 'set', name, 'up');
}

test.before.each(async () => {
  ip('link', 'add', 'plant', 'type', 'bridge');
  ip('link', 'set', 'plant', 'up');
  for (const name of ['tap0', 'tap1', 'client']) addTap(name);
  answers = 0;
  client = new HostTap({
    name: 'client',
    onFrames: (frames) => {
      for (const frame of frames) if (Buffer.from(frame).readUInt16BE(12) === 0x88b6) answers += 1;
      rig.plant.heard?.();
    },
    onGone: () => {},
  });
  const nic = (tap: string) => ({ nics: [{ mac: GUEST_MAC, tap }] });
  rig = await new Rig({
    random: seededRandom('resources'),
    plan: nic('tap0'),
    planOfB: nic('tap1'),
    replication: { openBackends: (spec, events) => Backends.open(spec, events) },
  }).open();
  client.start();
});
test.after.each(async () => {
  await rig.close();
  client.close();
  for (const name of ['tap0', 'tap1', 'client', 'plant'])
    if (ip('-o', 'link').includes(` ${name}:`)) ip('link', 'del', name);
});

/** Asks by the plant network until the guest answers. */
async function talks(board: TestBoard): Promise<void> {
  const wanted = answers + 3;
  while (answers < wanted) {
    const before = answers;
    const frame = new Uint8Array(80);
    frame.set(GUEST_MAC, 0);
    frame.set(CLIENT_MAC, 6);
    frame.set([0x88, 0xb6], 12);
    client.send(frame);
    const patienceMs = performance.now() + 100;
    await board.until(() => answers > before || performance.now() > patienceMs);
  }
}

async function missing(board: TestBoard, pattern: RegExp): Promise<void> {
  const begunMs = performance.now();
  await board.until(() => pattern.test(board.replication.facts().missing ?? ''));
  await board.until(() => board.codes().includes('RESOURCE-MISSING'));
  const tookMs = performance.now() - begunMs;
  assert.ok(tookMs < WITHIN_MS, `noticed after ${tookMs.toFixed(0)} ms`);
}

test(
  'the TAP of the primary is deleted: said within a second, and taken again when it is made anew',
  async () => {
    const { a } = rig;
    await rig.lead(a);
    await talks(a);
    ip('link', 'del', 'tap0');
    await missing(a, /TAP tap0 was deleted/);
    assert.is(a.replication.facts().guest, 'leading', 'the guest goes on');
    addTap('tap0');
    await a.until(() => a.codes().includes('RESOURCE-BACK'));
    assert.is(a.replication.facts().missing, null);
    await talks(a);
  },
  LONG,
);

test(
  'handed over where it is lost, the guest is heard by the TAP of the other board',
  async () => {
    const { a, b } = rig;
    await rig.lead(a);
    await rig.protect(a, b, 1);
    await talks(a);
    ip('link', 'del', 'tap0');
    await missing(a, /tap0/);
    await rig.handOver(a, b);
    await talks(b);
    assert.ok(a.replication.facts().missing !== null && b.replication.facts().missing === null);
    addTap('tap0');
    await a.until(() => a.replication.facts().missing === null);
    await rig.handOver(b, a);
    await talks(a);
  },
  LONG,
);

test(
  'the disk file of a backup is replaced by an empty one: said, taken, and brought into step',
  async () => {
    const { a, b } = rig;
    await rig.lead(a);
    await rig.protect(a, b, 1);
    rmSync(rig.disk('b'));
    await missing(b, /disk .*b\.img: no such file/);
    // Not fit: out of step, and the primary goes alone.
    b.is('target', { session: 2 });
    b.replication.syncTarget(2);
    a.is('soloing', { grant: null });
    a.replication.syncStop();
    a.is('solo');
    a.replication.gate('open');
    writeFileSync(rig.disk('b'), new Uint8Array(DISK_BYTES));
    await b.until(() => b.replication.facts().missing === null);
    await rig.protect(a, b, 3);
    await talks(a);
    await rig.stopBoth(a, b);
    assert.ok(readFileSync(rig.disk('b')).some((byte) => byte !== 0));
    assert.ok(rig.disksAreEqual(), 'the new file has it all');
  },
  LONG,
);

test.run();

// What two boards remember of their disks: who was away gets what changed, who was interrupted goes on, and where
// nothing can be relied on everything is compared.
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { needsGcc } from '../../softcpu/guest.ts';
import { Rig, type TestBoard } from './rig.ts';
import { alone, lastSync } from './script.ts';

const test = suite('board/replication/changes');
test.needs(needsGcc());
const LONG = { timeoutMs: 300_000 };
const MIB = 1 << 20;
const DISK_BYTES = 48 * MIB;
const BLOCKS = DISK_BYTES >> 16;
const ROUNDS = 400;

const open: Rig[] = [];
const rigOf = async (what: string): Promise<Rig> => {
  const rig = new Rig({ random: seededRandom(what), diskBytes: DISK_BYTES, remembers: true });
  open.push(rig);
  return await rig.open();
};
test.after.each(async () => {
  for (const rig of open.splice(0)) await rig.close();
});

test(
  'a backup that was away gets what changed, time and again, and the first time all',
  async () => {
    const rig = await rigOf('away');
    const { a } = rig;
    let { b } = rig;
    await rig.lead(a);
    await rig.protect(a, b, 1);
    assert.is(lastSync(a).kind, 'everything');
    assert.is(lastSync(a).blocksCompared, BLOCKS);
    for (let times = 0; times < 3; times++) {
      await rig.talk(5);
      await rig.kill(b);
      alone(a);
      await rig.talk(5);
      b = await rig.revive('b');
      await rig.protect(a, b, 1);
      const { kind, blocksCompared } = lastSync(a);
      assert.is(kind, 'changes');
      assert.ok(blocksCompared < BLOCKS / 2, `${blocksCompared} blocks compared`);
    }
    await rig.talk(3);
    await rig.stopBoth(a, b);
    assert.ok(rig.disksAreEqual());
  },
  LONG,
);

test(
  'a primary that died comes back to the backup that took over, and what either wrote is compared',
  async () => {
    const rig = await rigOf('takeover');
    await rig.lead(rig.a);
    await rig.protect(rig.a, rig.b, 1);
    await rig.talk(5);
    await rig.kill(rig.a);
    rig.takeOver(rig.b);
    await rig.talk(5);
    const a = await rig.revive('a');
    await rig.protect(rig.b, a, 1);
    assert.is(lastSync(rig.b).kind, 'changes');
    assert.ok(lastSync(rig.b).blocksCompared < BLOCKS / 2);
    await rig.talk(3);
    await rig.stopBoth(rig.b, a);
    assert.ok(rig.disksAreEqual());
  },
  LONG,
);

test(
  'boards in step renew what they remember, so that it stays little',
  async () => {
    const rig = await rigOf('renews');
    const { a, b } = rig;
    await rig.lead(a);
    await rig.protect(a, b, 1);
    const logOf = ({ replication }: TestBoard) => replication.changes!.log!;
    const [first] = logOf(a).bases;
    await rig.talk(3);
    const isRenewed = () => logOf(a).bases[0] !== first && logOf(a).bases[0] === logOf(b).bases[0];
    await b.until(isRenewed);
    await rig.kill(b);
    alone(a);
    const back = await rig.revive('b');
    await rig.protect(a, back, 1);
    assert.is(lastSync(a).kind, 'changes');
    await rig.stopBoth(a, back);
    assert.ok(rig.disksAreEqual());
  },
  LONG,
);

test(
  'ten interrupted sync-ups end in one whole: nothing is compared twice, and the percentage does not go back',
  async () => {
    const rig = await rigOf('ten');
    const { a, cable } = rig;
    let { b } = rig;
    await rig.lead(a);
    let percent = 0;
    let session = 0;
    /** Regions of the follower's disk that are as the leader's, on the medium. */
    const kept = (): number => {
      const log = b.replication.changes?.log;
      const [map] = log?.bases[0] === undefined ? [] : (log.since(log.bases[0]) ?? []);
      return map === undefined ? 0 : map.regions - map.marked;
    };
    for (let times = 0; times < 10; times++) {
      cable.framesATurn = 6;
      rig.startSync(a, b, ++session);
      const facts = () => a.replication.facts().sync;
      await a.until(() => facts().phase === 'disks' && facts().totalBytes > 0);
      assert.ok(facts().percent >= percent, `${facts().percent} % after ${percent} %`);
      const before = kept();
      await a.until(() => kept() > before || facts().phase !== 'disks');
      percent = facts().percent;
      if (times % 2 === 0) {
        // Its process ends, and starts anew.
        await rig.kill(b);
        alone(a);
        cable.framesATurn = Number.POSITIVE_INFINITY;
        b = await rig.revive('b');
      } else {
        // The arbiter sees the link dead, and later well again.
        cable.isCut = true;
        alone(a);
        await rig.talk(2);
        cable.isCut = false;
        cable.framesATurn = Number.POSITIVE_INFINITY;
      }
    }
    assert.ok(kept() >= 5, `${kept()} regions remembered on the way`);
    cable.framesATurn = Number.POSITIVE_INFINITY;
    await rig.protect(a, b, ++session);
    assert.is(lastSync(a).kind, 'changes');
    assert.ok(
      lastSync(a).blocksCompared < BLOCKS * 0.7,
      `${lastSync(a).blocksCompared} compared at last`,
    );
    await rig.talk(3);
    await rig.stopBoth(a, b);
    assert.ok(rig.disksAreEqual());
  },
  LONG,
);

test(
  'where nothing can be relied on everything is compared, and the reason is told',
  async () => {
    const rig = await rigOf('damaged');
    const { a } = rig;
    await rig.lead(a);
    await rig.protect(a, rig.b, 1);
    const damages: readonly [() => void, RegExp][] = [
      [() => damage(rig.state('b')), /the other board: the map was damaged/],
      [() => overwrite(rig.disk('b')), /the other board: a disk was written by somebody else/],
      // Another file lies there: another disk.
      [() => replace(rig.disk('b')), /the other board: another disk/],
    ];
    for (const [spoil, words] of damages) {
      await rig.kill(rig.b);
      alone(a);
      spoil();
      const b = await rig.revive('b');
      rig.startSync(a, b, 1);
      await a.until(() => a.replication.facts().sync.why !== '');
      assert.match(a.replication.facts().sync.why, words);
      await a.told('sync-done');
      assert.is(lastSync(a).kind, 'everything');
      await rig.grant(a, b);
    }
    await rig.stopBoth(a, rig.b);
    assert.ok(rig.disksAreEqual());
  },
  LONG,
);

function damage(folder: string): void {
  for (const name of readdirSync(folder)) {
    const bytes = readFileSync(join(folder, name));
    if (bytes.length > 512) bytes[520]! ^= 1;
    writeFileSync(join(folder, name), bytes);
  }
}

/** As `cp` does. */
function overwrite(path: string): void {
  const bytes = readFileSync(path);
  bytes[30 * MIB + 5]! ^= 1;
  writeFileSync(path, bytes);
}

function replace(path: string): void {
  const bytes = readFileSync(path);
  bytes[20 * MIB + 5]! ^= 1;
  renameSync(path, `${path}.old`);
  writeFileSync(path, bytes);
}

test(
  'a guest that writes all the time: round after round nothing is found to differ',
  async () => {
    const rig = new Rig({
      ...{ random: seededRandom('busy'), diskBytes: 2 * MIB, remembers: true },
      replication: { checkMibS: 1000 },
    });
    open.push(rig);
    await rig.open();
    const { a, b } = rig;
    await rig.lead(a);
    await rig.protect(a, b, 1);
    const rounds = () => a.codes().filter((code) => code === 'DISK-COMPARED').length;
    for (let seen = 0; rounds() < ROUNDS; ) {
      await rig.talk(1);
      const told = a.events.find(({ code }) => code === 'DISK-DIFFERS');
      assert.is(told, undefined, `round ${rounds()}: ${told?.text}`);
      if (rounds() === seen) continue;
      seen = rounds();
      a.replication.leading.care.compareNow();
    }
    await rig.stopBoth(a, b);
    assert.ok(rig.disksAreEqual());
  },
  LONG,
);

test(
  'a block that changed in silence is found with its number, told, and made equal',
  async () => {
    const rig = new Rig({
      ...{ random: seededRandom('flip'), diskBytes: DISK_BYTES, remembers: true },
      replication: { checkMibS: 1000 },
    });
    open.push(rig);
    await rig.open();
    const { a, b } = rig;
    await rig.lead(a);
    // Far from where the guest writes.
    const at = DISK_BYTES - 3 * 65_536 - 77;
    await rig.protect(a, b, 1);
    await rig.talk(1);
    await a.until(() => a.codes().includes('DISK-COMPARED'));
    assert.is(a.replication.facts().check.lastDiffering, 0);
    assert.not.ok(a.codes().includes('DISK-DIFFERS'));
    const fd = openSync(b.disk, 'r+');
    const byte = new Uint8Array(1);
    readSync(fd, byte, 0, 1, at);
    writeSync(fd, Uint8Array.of(byte[0]! ^ 8), 0, 1, at);
    closeSync(fd);
    a.replication.leading.care.compareNow();
    await a.until(() => a.codes().includes('DISK-DIFFERS'));
    const { text } = a.events.find(({ code }) => code === 'DISK-DIFFERS')!;
    assert.match(text, `blocks ${Math.floor(at / 65_536)} of 64 KiB`);
    await b.told('diverged');
    alone(a);
    rig.startSync(a, b, 2);
    await a.told('sync-done');
    assert.is(lastSync(a).kind, 'changes');
    await rig.grant(a, b);
    await rig.stopBoth(a, b);
    assert.ok(rig.disksAreEqual());
  },
  LONG,
);

test.run();

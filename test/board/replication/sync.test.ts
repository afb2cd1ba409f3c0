// Sync-up under trouble: refused, cut, slowed, failing, and a backup that cannot keep up.
import {
  closeSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { GuestPlan } from '../../../firmware/board/config/types.ts';
import { decodeBulkMessage } from '../../../firmware/board/replication/bulk-messages.ts';
import { LAG_LIMITS } from '../../../firmware/lockstep/lag.ts';
import { SYNC_PLAN_LIMITS } from '../../../firmware/lockstep/sync-plan.ts';
import { NO_FAULTS } from '../../../logchan/faulty-line.ts';
import { FaultyPort } from '../../../logchan/faulty-port.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { buildGuest, needsGcc } from '../../softcpu/guest.ts';
import { DISK_BYTES, Rig, turn } from './rig.ts';

const test = suite('board/replication/sync');
test.needs(needsGcc());
const LONG = { timeoutMs: 150_000 };

const PATIENT = { ...LAG_LIMITS, hardMs: 300_000 };

const open: Rig[] = [];
const rigOf = async (...args: ConstructorParameters<typeof Rig>): Promise<Rig> => {
  const rig = new Rig(...args);
  open.push(rig);
  return await rig.open();
};
test.after.each(async () => {
  for (const rig of open.splice(0)) await rig.close();
});

test(
  'a board that does not fit is refused with every reason, and service goes on',
  async () => {
    const unlike: readonly [Partial<GuestPlan>, RegExp][] = [
      [{ memoryBytes: 16 << 20 }, /guest memory/],
      [{ append: 'other' }, /command line/],
      [{ kernel: buildGuest('busy') }, /kernel file/],
      [{ initrd: buildGuest('busy') }, /initrd file/],
      [{ nics: [] }, /network cards/],
      [{ disks: [] }, /number of disks/],
      [{ disks: [{ path: '', isReadOnly: true }] }, /read-only/],
      [{ onPowerOff: 'restart', memoryBytes: 16 << 20 }, /guest memory.*restarts the guest/],
    ];
    for (const [planOfB, words] of unlike) {
      const rig = await rigOf({ random: seededRandom('refused'), planOfB });
      const { a, b } = rig;
      await rig.lead(a);
      rig.startSync(a, b, 1);
      await b.until(() => b.codes().includes('SYNC-REFUSED'));
      for (const { replication, events } of [a, b]) {
        const { phase, refusals } = replication.facts().sync;
        assert.is(phase, 'refused');
        assert.match(refusals.join('; '), words);
        assert.match(events.find(({ code }) => code === 'SYNC-REFUSED')!.text, words);
      }
      await rig.talk(1);
      await rig.close();
      open.length = 0;
    }
  },
  LONG,
);

test(
  'disks of another size are refused',
  async () => {
    const rig = await rigOf({
      random: seededRandom('size'),
      disks: (name) => new Uint8Array(name === 'a' ? DISK_BYTES : 2 * DISK_BYTES),
    });
    await rig.lead(rig.a);
    rig.startSync(rig.a, rig.b, 1);
    await rig.b.until(() => rig.b.codes().includes('SYNC-REFUSED'));
    assert.match(rig.b.replication.facts().sync.refusals.join(), /size of disk 0/);
  },
  LONG,
);

test(
  'a cut in the middle costs what was under way, not what had arrived',
  async () => {
    const bytes = 32 << 20;
    const rig = await rigOf({ random: seededRandom('cut'), diskBytes: bytes });
    const { a, b, cable } = rig;
    await rig.lead(a);
    rig.plant.type('b');
    cable.framesATurn = 4;
    rig.startSync(a, b, 1);
    await b.until(() => b.replication.facts().sync.percent >= 20);
    assert.is(b.replication.facts().sync.phase, 'disks');
    cable.isCut = true;
    // The arbiter sees the link dead, and later well again.
    a.is('solo');
    a.replication.syncStop();
    await rig.talk(3);
    const before = readFileSync(b.disk);
    cable.isCut = false;
    cable.framesATurn = Number.POSITIVE_INFINITY;
    a.is('source');
    a.replication.syncSource({ boot: b.reign.boot, session: 1 });
    await a.told('sync-done');
    const { blocksSent, blocksCompared } = a.replication.leading.lastSync!;
    const there = equalBlocks(before, readFileSync(b.disk));
    assert.is(blocksCompared, bytes >> 16);
    assert.ok(there > 50, `${there} blocks had arrived`);
    assert.ok(
      blocksSent <= (bytes >> 16) - there + 20,
      `${blocksSent} sent again, ${there} were there`,
    );
    await rig.grant(a, b);
    await rig.talk(3);
    await rig.stopBoth(a, b);
    assert.ok(rig.disksAreEqual());
  },
  LONG,
);

test(
  'the longer a target takes for what it got, the less the guest does meanwhile',
  async () => {
    const lag = { ...LAG_LIMITS, stepMs: 5, hardMs: 10, patienceMs: 300_000 };
    const rig = await rigOf({
      random: seededRandom('spared'),
      replication: { limits: { lag } },
    });
    const { a, b, cable } = rig;
    await rig.lead(a);
    rig.plant.type('b');
    cable.framesATurn = 1;
    rig.startSync(a, b, 1);
    const { leading } = a.replication;
    let most = 0;
    await a.until(() => {
      if (a.replication.facts().sync.phase === 'adopting') {
        most = Math.max(most, leading.throttleShare);
        cable.framesATurn = most > 0 ? Number.POSITIVE_INFINITY : 1;
      }
      return most > 0 || a.arbiter.some(({ type }) => type === 'sync-done');
    });
    assert.ok(most > 0, 'the guest is held back before the target moves');
    await a.told('sync-done');
    await rig.grant(a, b);
    await rig.talk(3);
    await rig.stopBoth(a, b);
    assert.ok(rig.disksAreEqual());
  },
  LONG,
);

function equalBlocks(one: Buffer, other: Buffer): number {
  let equal = 0;
  for (let at = 0; at < one.length; at += 65_536) {
    equal += Number(one.subarray(at, at + 65_536).equals(other.subarray(at, at + 65_536)));
  }
  return equal;
}

test(
  'a target that starts anew in the middle is brought into step all the same',
  async () => {
    const rig = await rigOf({ random: seededRandom('anew'), diskBytes: 16 << 20 });
    const { a, cable } = rig;
    let { b } = rig;
    await rig.lead(a);
    for (const percent of [5, 30, 60]) {
      cable.framesATurn = 6;
      rig.startSync(a, b, 1);
      await b.until(() => b.replication.facts().sync.percent >= percent);
      await rig.kill(b);
      a.is('solo');
      a.replication.syncStop();
      cable.framesATurn = Number.POSITIVE_INFINITY;
      b = await rig.revive('b');
    }
    await rig.protect(a, b, 1);
    await rig.talk(3);
    await rig.stopBoth(a, b);
    assert.ok(rig.disksAreEqual());
  },
  LONG,
);

test(
  'a guest that writes faster than the link carries is held back, then let go',
  async () => {
    const sync = { ...SYNC_PLAN_LIMITS, restPageBytes: -1, roundsMax: 7 };
    const rig = await rigOf({
      random: seededRandom('busy'),
      replication: { limits: { sync, lag: PATIENT } },
    });
    const { a, b, cable } = rig;
    await rig.lead(a);
    rig.plant.type('b');
    cable.framesATurn = 2;
    const vcpu = a.replication.runner.vcpu!;
    const throttle = vcpu.throttle.bind(vcpu);
    const shares: number[] = [];
    vcpu.throttle = (share) => {
      shares.push(share);
      throttle(share);
    };
    rig.startSync(a, b, 1);
    await a.until(() => a.codes().includes('SYNC-PHASE'));
    cable.framesATurn = Number.POSITIVE_INFINITY;
    await a.told('sync-done');
    const { why, rounds } = a.replication.leading.lastSync!;
    assert.is(why, 'patience');
    assert.is(rounds, 7);
    assert.ok(
      shares.some((share) => share > 0),
      'it was held back',
    );
    assert.ok(shares.includes(0), 'and let go');
    await rig.grant(a, b);
    await rig.talk(3);
  },
  LONG,
);

test(
  'a backup that cannot keep up is dropped with a reason, and comes back after a pause',
  async () => {
    const lag = {
      ...LAG_LIMITS,
      ...{ softMs: 10, hardMs: 50, patienceMs: 300 },
      backOffMs: { first: 400, max: 1000, forgetMs: 60_000 },
    };
    const rig = await rigOf({ random: seededRandom('slow'), replication: { limits: { lag } } });
    const { a, b } = rig;
    await rig.lead(a);
    await rig.protect(a, b, 1);
    await rig.talk(3);
    // Its disk answers no more.
    const [disk] = b.replication.runner.disks;
    const request = disk!.request.bind(disk!);
    const held: (() => void)[] = [];
    disk!.request = (...args) => void held.push(() => request(...args));
    await a.until(() => a.replication.leading.throttleShare > 0);
    await a.until(() => a.codes().includes('LAG-SLOWED'));
    await b.told('diverged');
    assert.match(a.events.find(({ code }) => code === 'LAG-DROPPED')!.text, /cannot keep up/);
    assert.ok(b.codes().includes('LAG-DROPPED'));
    const droppedMs = performance.now();
    disk!.request = request;
    for (const go of held) go();
    // As the arbiter does: the follower renounces, the leader goes alone.
    a.is('soloing', { grant: null });
    a.replication.syncStop();
    a.is('solo');
    a.replication.gate('open');
    assert.is(a.replication.leading.throttleShare, 0);
    rig.startSync(a, b, 2);
    await a.told('sync-done');
    assert.ok(performance.now() - droppedMs > 350, 'after a pause');
    await rig.grant(a, b);
    await rig.talk(3);
  },
  LONG,
);

/** A bound nobody is below: whoever moves along is far behind, until the bound is moved. */
async function farBehind(patienceMs: number) {
  const lag = { ...LAG_LIMITS, hardMs: -1, patienceMs };
  const rig = await rigOf({ random: seededRandom('far behind'), replication: { limits: { lag } } });
  const { a, b } = rig;
  await rig.lead(a);
  rig.startSync(a, b, 1);
  await b.until(() => b.events.some(({ text }) => text.includes('moves along')));
  return { a, b, lag };
}

test(
  'a target that moves along far behind is in step when it is near',
  async () => {
    const { a, lag } = await farBehind(60_000);
    await a.until(() => a.replication.facts().lagMs !== null);
    assert.is(a.replication.facts().sync.phase, 'adopting');
    assert.ok(a.replication.facts().isFarBehind);
    assert.not.ok(a.codes().includes('SYNC-DONE'));
    lag.hardMs = 300_000;
    await a.told('sync-done');
  },
  LONG,
);

test(
  'a target that stays far behind is let go, and was never in step',
  async () => {
    const { a, b } = await farBehind(300);
    await b.told('diverged');
    assert.not.ok(a.codes().includes('SYNC-DONE'));
  },
  LONG,
);

test(
  'a gap in the log drops the follower: it must not wait for what never comes',
  async () => {
    const rig = await rigOf({ random: seededRandom('gap') });
    const { a, b } = rig;
    await rig.lead(a);
    await rig.protect(a, b, 1);
    a.replication.leading.stream.break();
    await b.told('diverged');
    assert.is(a.codes().filter((code) => code === 'LOG-TROUBLE').length, 1);
  },
  LONG,
);

test(
  'while the log link is cut nothing leaves; afterwards all of it does',
  async () => {
    const rig = await rigOf({ random: seededRandom('lease') });
    const { a, b, cable, plant } = rig;
    await rig.lead(a);
    await rig.protect(a, b, 1);
    await rig.talk(3);
    cable.isCut = true;
    const before = plant.answers.length;
    for (let i = 0; i < 20; i++) {
      plant.ask();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await a.until(() => a.replication.facts().gate.waiting > 0);
    assert.is(plant.answers.length, before);
    assert.ok(a.replication.facts().gate.oldestMs >= 0);
    cable.isCut = false;
    await a.until(() => a.replication.facts().gate.waiting === 0);
    assert.ok(plant.answers.length > before);
    plant.assertConsistent();
  },
  LONG,
);

test(
  'a disk of the target that fails is told, and tried again',
  async () => {
    const rig = await rigOf({
      random: seededRandom('fails'),
      replication: { limits: { retryMs: 50, lag: PATIENT } },
    });
    const { a, b } = rig;
    await rig.lead(a);
    const [disk] = b.replication.runner.disks;
    const write = disk!.writeBlocks.bind(disk!);
    let left = 3;
    disk!.writeBlocks = async (...args) => {
      if (left-- === 0) throw new Error('a bad sector');
      await write(...args);
    };
    await rig.protect(a, b, 1);
    assert.match(b.events.find(({ code }) => code === 'SYNC-STOPPED')!.text, /a bad sector/);
    await rig.talk(3);
    await rig.stopBoth(a, b);
    assert.ok(rig.disksAreEqual());
  },
  LONG,
);

test(
  'holes stay holes: blocks of zeros do not travel',
  async () => {
    const rig = await rigOf({
      random: seededRandom('zeros'),
      disks: (name) => new Uint8Array(DISK_BYTES).fill(name === 'a' ? 0 : 7),
    });
    const { a, b } = rig;
    await rig.lead(a);
    // Blocks alone are counted: how much memory travels depends on how often its rounds come.
    const { link } = a.replication;
    const sendBulk = link.sendBulk.bind(link);
    const runs: { count: number; bytes: Uint8Array }[] = [];
    link.sendBulk = (bytes, signal) => {
      const decoded = decodeBulkMessage(bytes);
      // A copy: it may be made in place.
      if (decoded.ok && decoded.message.type === 'blocks') {
        runs.push({ ...decoded.message, bytes: decoded.message.bytes.slice() });
      }
      return sendBulk(bytes, signal);
    };
    await rig.protect(a, b, 1);
    const total = (of: typeof runs) => of.reduce((sum, { count }) => sum + count, 0);
    assert.is(total(runs), a.replication.leading.lastSync!.blocksSent);
    assert.ok(total(runs) >= DISK_BYTES >> 16, 'each block of the target was to be mended');
    // Where the guest wrote meanwhile there is something to carry.
    const filled = runs.filter(({ bytes }) => bytes.length > 0);
    assert.ok(filled.every(({ bytes }) => bytes.some((byte) => byte !== 0)));
    assert.ok(total(filled) < total(runs) / 2, `${total(filled)} of ${total(runs)}`);
    await rig.stopBoth(a, b);
    assert.ok(rig.disksAreEqual());
  },
  LONG,
);

test(
  'a TiB costs what is in it, on both boards',
  async () => {
    const rig = new Rig({ random: seededRandom('sparse') });
    open.push(rig);
    for (const name of ['a', 'b'] as const) truncateSync(rig.disk(name), 2 ** 40);
    await rig.open();
    const { a, b } = rig;
    await rig.lead(a);
    await rig.protect(a, b, 1);
    const { blocksCompared, bytesRead } = a.replication.leading.lastSync!;
    assert.is(blocksCompared, 2 ** 24);
    assert.ok(bytesRead <= 2 * DISK_BYTES, `${bytesRead} bytes read`);
    await rig.stopBoth(a, b);
    assert.ok(statSync(b.disk).blocks * 512 <= 2 * DISK_BYTES, 'no hole was filled');
    const [here, there] = [a, b].map(({ disk }) => headOf(disk, DISK_BYTES));
    assert.ok(here!.equals(there!));
  },
  LONG,
);

function headOf(path: string, bytes: number): Buffer {
  const head = Buffer.alloc(bytes);
  const fd = openSync(path, 'r');
  readSync(fd, head, 0, bytes, 0);
  closeSync(fd);
  return head;
}

test(
  'over a link that loses, repeats, reorders and damages',
  async () => {
    const random = seededRandom('faults');
    const rig = await rigOf({
      random,
      wrap: (port) =>
        new FaultyPort(port, random, {
          ...NO_FAULTS,
          ...{ lossChance: 0.03, duplicateChance: 0.03, flipChance: 0.01, jitterUs: 500 },
        }),
    });
    const { a, b, plant } = rig;
    await rig.lead(a);
    plant.type('b');
    await rig.protect(a, b, 1);
    await rig.talk(20);
    await rig.handOver(a, b);
    await rig.talk(20);
    await rig.kill(b);
    rig.takeOver(a);
    await rig.talk(10);
    plant.assertConsistent();
  },
  LONG,
);

test(
  'statements pass beside the log',
  async () => {
    const rig = await rigOf({ random: seededRandom('say') });
    const { a, b } = rig;
    const frame = Uint8Array.of(1, 2, 3);
    assert.ok(a.replication.sayOnLog(frame));
    await b.until(() => b.statements.length === 1);
    assert.equal(b.statements[0], frame);
    await rig.kill(b);
    await turn();
  },
  LONG,
);

test(
  'a disk that is none is one clear line',
  async () => {
    const rig = new Rig({ random: seededRandom('clear') });
    open.push(rig);
    writeFileSync(join(rig.folder, 'odd.img'), 'odd');
    let message = '';
    const disks = [{ path: join(rig.folder, 'odd.img'), isReadOnly: false }];
    await rig.board('b', { disks }).catch((error) => {
      message = error.message;
    });
    assert.match(message, /no multiple of 512/);
  },
  LONG,
);

test.run();

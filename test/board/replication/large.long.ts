// A guest with more memory than JavaScript sees as one, on two boards: what it has above 4 GiB comes along into
// step and is there after a takeover; what it never touched costs neither board memory.
import { MemoryBanks } from '../../../firmware/machine/memory-banks.ts';
import { LOW_RAM_MAX, PAGE_BYTES } from '../../../firmware/machine/memory-map.ts';
import { GuestMemory } from '../../../native/index.ts';
import { assembled } from '../../guest/linux-guest.ts';
import { BOOT_MS, PATIENCE } from '../../guest/rig.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { LINUX_APPEND, shellOf } from './linux-shell.ts';
import { Rig, type TestBoard } from './rig.ts';

const { guest, why = '' } = assembled();
const test = suite('board/replication/large');
test.needs({ met: guest !== undefined, why });

const MEMORY_BYTES = 8 * 2 ** 30;

let rig: Rig;
test.after(async () => await rig?.close());

/** Real pages of a board's guest: all, and those above 4 GiB. */
function realPages(board: TestBoard): { all: number; above: number } {
  const memory = new GuestMemory({ token: board.replication.runner.vcpu!.memoryToken });
  const found = { all: 0, above: 0 };
  for (const { first, end } of MemoryBanks.of(memory).touched()) {
    found.all += end - first;
    found.above += Math.max(0, end - Math.max(first, LOW_RAM_MAX / PAGE_BYTES));
  }
  memory.close();
  return found;
}

test(
  'a shell with 8 GiB lives through sync-up and takeover, with its files above 4 GiB',
  async () => {
    rig = await new Rig({
      random: seededRandom('large'),
      plan: {
        kernel: guest!.kernel,
        initrd: guest!.initrd,
        append: LINUX_APPEND,
        memoryBytes: MEMORY_BYTES,
      },
    }).open();
    const { a, b, plant } = rig;
    await rig.lead(a);
    await a.until(() => /@ready shell[\s\S]*# /.test(plant.text));
    await shellOf(rig, a, 'seq 1 600000 > /tmp/far; md5sum < /tmp/far > /tmp/sum');
    const before = realPages(a);
    assert.ok(before.above > 1000, JSON.stringify(before));
    await rig.protect(a, b, 1);
    const { totalMs, pauseMs, pagesSent, rounds } = a.replication.leading.lastSync!;
    const there = realPages(b);
    assert.ok(there.above > 1000, JSON.stringify(there));
    // A page of zeros need not be there; gigabytes nobody touched must not.
    assert.ok(there.all <= realPages(a).all, JSON.stringify(there));
    assert.ok(there.all < MEMORY_BYTES / PAGE_BYTES / 8, JSON.stringify(there));
    await shellOf(rig, a, 'seq 600000 -1 1 > /tmp/late; md5sum < /tmp/late > /tmp/late-sum');
    await rig.kill(a);
    rig.takeOver(b);
    await shellOf(rig, b, 'md5sum < /tmp/far | cmp - /tmp/sum');
    await shellOf(rig, b, 'md5sum < /tmp/late | cmp - /tmp/late-sum');
    assert.not.ok([...a.events, ...b.events].some(({ code }) => code === 'DIVERGED'));
    console.log(`sync-up: ${JSON.stringify({ totalMs, pauseMs, pagesSent, rounds, ...before })}`);
  },
  { timeoutMs: 2 * BOOT_MS * PATIENCE },
);

test.run();

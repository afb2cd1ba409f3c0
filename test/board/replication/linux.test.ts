// Debian Linux on two boards: sync-up while a shell writes files, takeover, return, hand-over; the shell,
// its variables and its file system go on, and in the end both disks are the same.

import { assembled } from '../../guest/linux-guest.ts';
import { BOOT_MS, PATIENCE } from '../../guest/rig.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { LINUX_APPEND, shellOf } from './linux-shell.ts';
import { Rig, type TestBoard } from './rig.ts';

const { guest, why = '' } = assembled();
const test = suite('board/replication/linux');
test.needs({ met: guest !== undefined, why });

const WRITER =
  '(i=0; while :; do i=$((i+1)); n=$((i%20)); seq $i $((i+2000)) > /mnt/f$n.new; ' +
  'md5sum < /mnt/f$n.new > /mnt/s$n.new; mv /mnt/f$n.new /mnt/f$n; mv /mnt/s$n.new /mnt/s$n; ' +
  '[ $n = 7 ] && sync; done) & writer=$!';

let rig: Rig;
const shell = (board: TestBoard, command: string) => shellOf(rig, board, command);

test.after(async () => await rig?.close());

test(
  'a shell lives through sync-up, takeover, return and hand-over',
  async () => {
    rig = await new Rig({
      random: seededRandom('linux'),
      plan: {
        kernel: guest!.kernel,
        initrd: guest!.initrd,
        append: LINUX_APPEND,
        memoryBytes: 128 << 20,
      },
      diskBytes: 16 << 20,
    }).open();
    const { a, b, plant } = rig;
    await rig.lead(a);
    await a.until(() => /@ready shell[\s\S]*# /.test(plant.text));
    await shell(a, 'x=41; mke2fs /dev/vda >/dev/null 2>&1; mkdir -p /mnt; mount /dev/vda /mnt');
    await shell(a, WRITER);
    await rig.protect(a, b, 1);
    const first = a.replication.leading.lastSync!;
    assert.match(await shell(a, 'echo got $((x+1))'), /got 42/);
    await rig.kill(a);
    rig.takeOver(b);
    assert.match(await shell(b, 'echo got $((x+2))'), /got 43/);
    await shell(b, 'kill -0 $writer');

    const back = await rig.revive('a');
    await rig.protect(b, back, 2);
    const second = b.replication.leading.lastSync!;
    assert.ok(second.blocksSent < second.blocksCompared, 'most of the disk was there');
    assert.match(await shell(b, 'echo got $((x+3))'), /got 44/);
    await rig.handOver(b, back);
    assert.match(await shell(back, 'echo got $((x+4))'), /got 45/);
    await shell(back, 'kill $writer; wait; sync; cd /mnt; rm -f *.new');
    await shell(back, 'for n in $(seq 0 19); do md5sum < f$n | cmp - s$n || exit 1; done; cd /');
    await shell(back, 'umount /mnt');
    for (const { replication, events } of [a, b, back]) {
      assert.not.ok(
        events.some(({ code }) => code === 'DIVERGED'),
        String(replication.facts().guest),
      );
    }
    await rig.stopBoth(back, b);
    assert.ok(rig.disksAreEqual());
    console.log(`sync-up: ${JSON.stringify(first)}`);
    console.log(`and back: ${JSON.stringify(second)}`);
  },
  { timeoutMs: 2 * BOOT_MS * PATIENCE },
);

test.run();

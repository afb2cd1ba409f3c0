// A Debian Linux with 8 GiB, more than JavaScript sees as one: it finds its memory and uses what lies above 4 GiB,
// and new processes make the same machine again from the log: to a digest near its end, and from there on.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CheckpointReader } from '../../firmware/lockstep/checkpoint.ts';
import { MemoryBanks } from '../../firmware/machine/memory-banks.ts';
import { LOW_RAM_MAX, PAGE_BYTES } from '../../firmware/machine/memory-map.ts';
import { GuestMemory } from '../../native/index.ts';
import { assert, suite } from '../harness/index.ts';
import { assembled, guestArgs } from './linux-guest.ts';
import { entriesOf } from './plant.ts';
import { BOOT_MS, STEP_MS } from './rig.ts';
import { startPiped, twinstep } from './twinstep.ts';

const { guest, why = '' } = assembled();
const test = suite('guest/memory');
test.needs({ met: guest !== undefined, why });

const GIB = 2 ** 30;
/** Of `seq 1 600000`, 4 MB. */
const SEQUENCE_MD5 = '4227a6765b501c1623bcfe623a7bc9e5';
const folder = mkdtempSync(join(tmpdir(), 'twinstep-memory-'));
test.after(() => rmSync(folder, { recursive: true }));

/** Pages that the guest has above 4 GiB, by a checkpoint: those that are not zeros. */
function pagesAbove(path: string): number {
  const memory = new GuestMemory({ bytes: 8 * GIB });
  const banks = MemoryBanks.of(memory);
  const reader = new CheckpointReader(banks, () => {});
  reader.push(readFileSync(path));
  reader.finish();
  let pages = 0;
  for (const { first, end } of banks.touched())
    pages += Math.max(0, end - Math.max(first, LOW_RAM_MAX / PAGE_BYTES));
  memory.close();
  return pages;
}

test(
  'a Linux with 8 GiB has them, writes above 4 GiB, and is made again from its log',
  async () => {
    const [log, checkpoint] = [join(folder, 'log'), join(folder, 'checkpoint')];
    const [, ...files] = guestArgs(guest!, 'shell');
    const running = startPiped('record', '--log', log, ...files, '--memory', '8192');
    try {
      await running.console.waitFor(/@ready shell[\s\S]*# /, BOOT_MS);
      const shell = (command: string) => running.shell(command, STEP_MS);
      const kib = Number(/MemTotal: +(\d+) kB/.exec(await shell('cat /proc/meminfo'))?.[1]);
      assert.ok(kib > 7.5 * 2 ** 20, `${kib} KiB`);
      // What is free lies above 4 GiB first.
      assert.match(await shell('seq 1 600000 > /tmp/far; md5sum < /tmp/far'), SEQUENCE_MD5);
      running.type('exit\n');
      assert.is(await running.ended(), 0, running.stderr.text);
    } finally {
      await running.kill();
    }
    const { kernel, initrd } = guest!;
    const replay = (...options: string[]) =>
      twinstep('replay', log, '--kernel', kernel, '--initrd', initrd, '--quiet', ...options);
    const entries = entriesOf(log);
    const end = entries.at(-1)!.position;
    const near = entries.findLast(({ body, position }) => body.kind === 'digest' && position < end);
    const cut = replay('--until', String(near!.position), '--checkpoint', checkpoint);
    assert.is(cut.code, 0, cut.stderr);
    const pages = pagesAbove(checkpoint);
    assert.ok(pages > 4_000_000 / PAGE_BYTES, `${pages} pages above 4 GiB`);
    const resumed = replay('--from', checkpoint, '--verify');
    assert.is(resumed.code, 0, resumed.stderr);
    assert.match(resumed.stderr, 'verified: registers, devices, memory');
  },
  { timeoutMs: 2 * BOOT_MS },
);

test.run();

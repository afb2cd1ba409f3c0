// Figures of the vCPU thread as half of a pair, on a 128 MiB Linux: node dist/test/host/vcpu/figures.js
// They are for people; no test depends on a time.
import { GuestMemory } from '../../../native/index.ts';
import { seededRandom } from '../../harness/index.ts';
import { guestFiles } from '../../lockstep/recording.ts';
import { Board, caughtUp, type TwinGuest } from './twin.ts';

const ms = () => performance.now();
const random = seededRandom('figures');
const files = guestFiles();
if (files === undefined) throw new Error('needs Debian’s archive for the Linux guest');
const guest: TwinGuest = { ...files, initrd: files.initrd, memoryBytes: 128 << 20 };

function print(what: string, values: number[]): void {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!;
  const words = [0.5, 0.99].map((part) => `p${part * 100} ${at(part).toFixed(3)}`).join('  ');
  console.log(
    `${what.padEnd(44)} ${words}  max ${sorted.at(-1)?.toFixed(3)} ms (${sorted.length})`,
  );
}

/** Every piece of log: how long from the end of its slice to its owner. */
function watchLog(board: Board, ages: number[], to: ((bytes: Uint8Array) => void) | undefined) {
  board.to = (bytes) => {
    ages.push(Number(board.vcpu.handoverNs) / 1e6);
    to?.(bytes);
  };
}

async function main(): Promise<void> {
  const ages: number[] = [];
  const pauses: number[] = [];
  const adopts: number[] = [];
  const lives: number[] = [];
  const swaps: number[] = [];
  let lead = await new Board('a', guest, random).start();
  await lead.until(() => lead.requests > 20);
  const rounds = Number(process.argv[2] ?? 8);
  for (let round = 0; round < rounds; round++) {
    await lead.vcpu.takeDirty();
    await lead.more(20);
    const heir = new Board('b', guest, random);
    const theirs = new GuestMemory({ token: lead.vcpu.memoryToken });
    const ours = new GuestMemory({ bytes: theirs.buffer.byteLength });
    let from = ms();
    const { state } = await lead.vcpu.checkpoint();
    const asked = ms() - from;
    new Uint8Array(ours.buffer).set(new Uint8Array(theirs.buffer));
    heir.disk = lead.disk.slice();
    const waiting: Uint8Array[] = [];
    watchLog(lead, ages, (bytes) => waiting.push(bytes));
    from = ms();
    await lead.vcpu.resume({ log: true });
    pauses.push(asked + ms() - from);
    from = ms();
    await heir.adopt(ours.token, state);
    adopts.push(ms() - from);
    theirs.close();
    ours.close();
    for (const bytes of waiting) heir.vcpu.push(bytes);
    watchLog(lead, ages, (bytes) => heir.vcpu.push(bytes));
    await lead.more(100);
    for (let i = 0; i < 20; i++) {
      lead.ping();
      await lead.more(2);
    }
    await caughtUp(lead, heir);
    lead.to = undefined;
    from = ms();
    const { tookMs } = await heir.vcpu.goLive({ log: true });
    swaps.push(ms() - from);
    lives.push(tookMs);
    await lead.stop();
    lead = heir;
  }
  await lead.stop();
  print('checkpoint() and resume(log), without copying', pauses);
  print('adopt(), thread and digest of all memory', adopts);
  print('end of slice to onLog', ages);
  print('goLive(), empty backlog, in the thread', lives);
  print('goLive(), empty backlog, as asked', swaps);
}

await main();

// The disks of both boards, looked at from outside while the guest keeps still: equal to the last byte,
// the journal whole and at least as long as the client was told, the file system clean, and no error of a
// disk was ever the guest's.
import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { SyncWorker } from '../../native/index.ts';
import { readJournal } from '../guests/plant/journal.ts';
import { needs } from '../harness/index.ts';
import type { BoardUnderTest } from './board.ts';
import { guestShell } from './client.ts';
import { SIDES } from './network.ts';
import type { TwinRig } from './rig.ts';

const SUPERBLOCK_AT = 1024;
const EXT_MAGIC = { at: SUPERBLOCK_AT + 56, value: 0xef53 } as const;
const EQUAL_MS = 10_000;
const BLOCK_BYTES = 64 << 10;
const HASH_BYTES = 16;

export interface DiskVerdict {
  /** Newest record of the journal, the same on both. */
  readonly records: number;
  /** How the file system was looked at. */
  readonly checkedBy: 'e2fsck' | 'its superblock alone';
  readonly faults: readonly string[];
}

/** The pair must be in step. The writers in the guest stand still meanwhile. */
export async function checkDisks(rig: TwinRig): Promise<DiskVerdict> {
  await guestShell('sh /scripts/plant freeze');
  const { journal: told } = await rig.client.answers(1, EQUAL_MS);
  const boards = SIDES.map((side) => rig.boards[side]);
  const faults = [...(await differences(boards)), ...boards.flatMap(fileSystemFaults)];
  faults.push(...(await guestTroubles()));
  const journals = boards.map(({ disks }) => readJournal(disks.journal));
  journals.forEach((journal, i) => {
    const at = `board ${SIDES[i]}`;
    faults.push(...journal.faults.map((words) => `${at}: ${words}`));
    if (journal.last < told)
      faults.push(`${at}: the client was told of record ${told}, the last is ${journal.last}`);
  });
  await guestShell('sh /scripts/plant thaw');
  const checkedBy = needs.command('e2fsck').met ? 'e2fsck' : 'its superblock alone';
  return { records: journals[0]?.last ?? 0, checkedBy, faults };
}

/** A disk that fails under one board is none of the guest's business: the other board goes on. */
async function guestTroubles(): Promise<string[]> {
  const lines = (await guestShell('dmesg')).split('\n');
  return lines
    .filter((line) => /I\/O error|-fs error|abort/i.test(line))
    .map((line) => `the guest saw: ${line}`);
}

/** The backup may be a moment behind: it gets the time to write what it has. */
async function differences(boards: readonly BoardUnderTest[]): Promise<string[]> {
  const endMs = performance.now() + EQUAL_MS;
  for (;;) {
    const unlike = (['files', 'journal'] as const).filter((disk) => {
      const [a, b] = boards.map(({ disks }) => readFileSync(disks[disk]));
      return a === undefined || b === undefined || !a.equals(b);
    });
    const isLargeUnlike =
      boards.every(({ hasLargeDisk }) => hasLargeDisk) && (await differ(boards));
    const found = [...unlike, ...(isLargeUnlike ? ['large'] : [])];
    if (found.length === 0) return [];
    if (performance.now() > endMs) return found.map((disk) => `the ${disk} disks differ`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function differ(boards: readonly BoardUnderTest[]): Promise<boolean> {
  const [a, b] = await Promise.all(boards.map(({ largeDisk }) => contentOf(largeDisk)));
  return a !== b;
}

/** What lies in a file that is mostly holes: blocks of zeros, and hashes of the others. */
async function contentOf(path: string): Promise<string> {
  const worker = new SyncWorker();
  const fd = openSync(path, 'r');
  const { size } = fstatSync(fd);
  const blocks = Math.ceil(size / BLOCK_BYTES);
  let content = '';
  for (let first = 0, zeros = 0; first < blocks; ) {
    const found = await worker.survey(fd, size, first, blocks);
    // Where a survey ends is no matter: zeros go on in the next.
    zeros += found.zeros;
    for (let i = 0; i < found.hashed; i++) {
      const hash = Buffer.from(worker.buffer, i * HASH_BYTES, HASH_BYTES).toString('hex');
      if (/^0+$/.test(hash)) zeros++;
      else {
        content += `${zeros} ${hash} `;
        zeros = 0;
      }
    }
    first += found.zeros + found.hashed;
  }
  closeSync(fd);
  worker.close();
  return content;
}

function fileSystemFaults({ side, disks }: BoardUnderTest): string[] {
  const check = spawnSync('e2fsck', ['-fn', disks.files], { encoding: 'utf8' });
  if (check.error !== undefined) {
    const magic = readFileSync(disks.files).readUInt16LE(EXT_MAGIC.at);
    return magic === EXT_MAGIC.value ? [] : [`board ${side}: no file system`];
  }
  return check.status === 0 ? [] : [`board ${side}: e2fsck: ${check.stdout.trim()}`];
}

// A recorder that is killed at a random moment, and what it leaves. For the tests of this folder.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Entry } from '../../firmware/lockstep/entry.ts';
import { LogReader } from '../../firmware/lockstep/log-file.ts';
import { twinstep } from '../guest/twinstep.ts';
import type { LinuxGuest } from '../guests/linux/assemble.ts';
import { assert, repoPath, type SeededRandom } from '../harness/index.ts';

export const DISK_BYTES = 4 << 20;

export interface Killed {
  readonly log: string;
  /** What a replay needs beside the log. */
  readonly files: readonly string[];
  /** Everything the guest said to the world. */
  readonly said: string;
}

/** Records a guest that runs `script` on a disk, and kills the recorder after `ms`. */
export async function killed(
  guest: LinuxGuest,
  folder: string,
  script: string,
  ms: number,
): Promise<Killed> {
  const [log, disk, before] = ['log', 'disk', 'disk.before'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [log, disk, before]) rmSync(path, { force: true });
  for (const path of [disk, before]) writeFileSync(path, new Uint8Array(DISK_BYTES));
  const files = ['--kernel', guest.kernel, '--initrd', guest.initrd];
  const append = `console=ttyS0 quiet acpi=off noapic nolapic reboot=k twinstep.run=${script}`;
  const child = spawn(
    process.execPath,
    [
      repoPath('dist/firmware/cli/twinstep.js'),
      ...['record', '--log', log, ...files, '--disk', disk, '--append', append],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let said = '';
  child.stdout?.on('data', (bytes) => {
    said += bytes;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), ms);
  await once(child, 'close');
  clearTimeout(timer);
  return { log, files: [...files, '--disk', before], said };
}

/** The log is read, and replays to its end; there the guest has said all the world has heard. */
export function assertReplays({ log, files, said }: Killed, what: string): Entry[] {
  const listed = twinstep('log', log, '--summary');
  const replayed = twinstep('replay', log, ...files);
  const entries = entriesIn(log);
  if (entries === undefined) {
    assert.match(listed.stderr, /no such file|not a log|cut off in its head/, what);
    assert.is(said, '', `${what}: heard, and not in the log`);
    return [];
  }
  assert.is(listed.code, 0, listed.stderr);
  assert.is(replayed.code, 0, `${what}: ${replayed.stderr}`);
  assert.match(replayed.stderr, `${entries.length} entries`);
  const words = replayed.stdout.replaceAll('\r', '');
  assert.ok(words.startsWith(said.replaceAll('\r', '')), `${what}: the world heard more`);
  return entries;
}

/** A log cut anywhere in its last `bytes` is read up to its last whole part, and says that it is cut. */
export function assertTornTails(log: string, bytes: number): void {
  const file = readFileSync(log);
  const whole = new LogReader().push(file).map(text);
  let longest = 0;
  for (let length = Math.max(0, file.length - bytes); length < file.length; length++) {
    const reader = new LogReader();
    const entries = reader.push(file.subarray(0, length)).map(text);
    assert.equal(entries, whole.slice(0, entries.length), `cut at ${length}`);
    assert.ok(entries.length >= longest, `cut at ${length}: fewer than of a shorter one`);
    longest = entries.length;
    const { damage } = reader;
    if (damage !== undefined) assert.is(damage, `the log is cut off at byte ${length}`);
  }
}

/** A log with a random tail torn off, for one more replay. */
export function tear(log: string, random: SeededRandom): string {
  const file = readFileSync(log);
  const torn = `${log}.torn`;
  writeFileSync(torn, file.subarray(0, file.length - 1 - random.int(Math.min(1024, file.length))));
  return torn;
}

/** Undefined where there is not even a head. */
function entriesIn(log: string): Entry[] | undefined {
  try {
    const reader = new LogReader();
    const entries = reader.push(readFileSync(log));
    return reader.identity === undefined ? undefined : entries;
  } catch {
    return undefined;
  }
}

const text = (entry: Entry): string =>
  JSON.stringify(entry, (_, value) => (typeof value === 'bigint' ? String(value) : value));

// An image that is no raw one is told by its header (or its footer), refused with the command that makes it raw,
// and not touched; whoever opens it. The commands work: those of QEMU are carried out where it is there.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DiskError } from '../../firmware/host/disk-errors.ts';
import { DiskFile } from '../../firmware/host/disk-file.ts';
import { DiskReplica } from '../../firmware/host/disk-replica.ts';
import { diskSpec } from '../../firmware/host/guest-notation.ts';
import { loneConfig } from '../board/lone-config.ts';
import { assert, needs, repoPath, suite } from '../harness/index.ts';
import { tinyGuest } from './tiny-guests.ts';

const test = suite('host/disk-format');
const SLOW = { timeoutMs: 60_000 };
const folder = mkdtempSync(join(tmpdir(), 'twinstep-format-'));

function image(name: string, head: string, at = 0, size = 64 << 10): string {
  const bytes = Buffer.alloc(size);
  bytes.write(head, at < 0 ? size + at : at, 'latin1');
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const opened = (path: string, more: object = {}) =>
  DiskFile.open({
    ...{ path, isReadOnly: false, ...more },
    onCompletion: () => {},
    onTrouble: () => {},
  });

/** What the refusal says; '' when it is taken. */
async function refusal(path: string, more: object = {}): Promise<string> {
  const before = readFileSync(path);
  try {
    await (await opened(path, more)).close();
    return '';
  } catch (error) {
    assert.instance(error, DiskError);
    assert.is((error as DiskError).code, 'E_DISK_FORMAT', (error as Error).message);
    return (error as Error).message;
  } finally {
    assert.equal(readFileSync(path), before, 'it is as it was');
  }
}

test('each kind by its bytes, with its command', async () => {
  for (const [name, head, at, words, command] of [
    ['a.qcow2', 'QFI\xfb\0\0\0\x03', 0, 'qcow2', 'qemu-img convert -f qcow2 -O raw a.qcow2 a.raw'],
    ['old.img', 'QFI\xfb\0\0\0\x02', 0, 'qcow2', 'convert -f qcow2 -O raw old.img old.raw'],
    ['q1', 'QFI\xfb\0\0\0\x01', 0, 'a qcow image', '-f qcow -O raw q1 q1.raw'],
    ['b.vmdk', 'KDMV\x01\0\0\0', 0, 'VMware', '-f vmdk -O raw b.vmdk b.raw'],
    ['esx.vmdk', 'COWD\x01\0\0\0', 0, 'VMware', '-f vmdk -O raw esx.vmdk esx.raw'],
    ['text.vmdk', '# Disk DescriptorFile\nversion=1', 0, 'VMware', '-f vmdk'],
    ['c.vdi', '\x7f\x10\xda\xbe\x01\0\x01\0', 64, 'VirtualBox', '-f vdi -O raw c.vdi c.raw'],
    ['d.vhdx', 'vhdxfile', 0, 'Hyper-V', '-f vhdx -O raw d.vhdx d.raw'],
    ['dyn.vhd', 'conectix', 0, 'VHD', '-f vpc -O raw dyn.vhd dyn.raw'],
    ['fixed.vhd', 'conectix', -512, 'VHD', '-f vpc -O raw fixed.vhd fixed.raw'],
    ['e.qed', 'QED\0', 0, 'QED', '-f qed'],
    ['f.hdd', 'WithouFreSpacExt', 0, 'Parallels', '-f parallels'],
    ['g.dmg', 'koly', -512, 'DMG', '-f dmg'],
    ['disk.img.gz', '\x1f\x8b\x08', 0, 'gzip', 'gzip -dc disk.img.gz >disk.img'],
    ['disk.img.xz', '\xfd7zXZ\0', 0, 'xz', 'xz -dc disk.img.xz >disk.img'],
    ['disk.bz2', 'BZh91AY&SY', 0, 'bzip2', 'bzip2 -dc disk.bz2 >disk.raw'],
    ['disk.raw.zst', '\x28\xb5\x2f\xfd', 0, 'zstd', 'zstd -dc disk.raw.zst >disk.raw'],
    ['disk.zip', 'PK\x03\x04', 0, 'zip', 'unzip -p disk.zip >disk.raw'],
    ['disk.7z', '7z\xbc\xaf\x27\x1c', 0, '7z', '7z x -so disk.7z >disk.raw'],
    ['plant.ova', 'ustar\0', 257, 'tar', 'tar -xf plant.ova'],
    ["it's 1.qcow2", 'QFI\xfb\0\0\0\x03', 0, 'qcow2', "-O raw 'it'\\''s 1.qcow2' 'it'\\''s 1.raw'"],
  ] as const) {
    const path = image(name, head, at);
    const said = (await refusal(path)).replaceAll(`${folder}/`, '').replaceAll(folder, '');
    assert.match(said, words, name);
    assert.match(said, command, said);
    assert.not.match(said, '\n');
    assert.match(await refusal(path, { isReadOnly: true }), words, 'to be read, too');
  }
});

test('a footer that is not at a whole sector, and files shorter than a header', async () => {
  const odd = image('virtual-pc.vhd', 'conectix', -511, (64 << 10) - 1);
  assert.match(await refusal(odd), 'Virtual PC');
  assert.match(await refusal(image('tiny.gz', '\x1f\x8b\x08', 0, 20)), 'gzip -dc');
});

test('what is raw is taken: empty, an ISO, a partition table, encrypted, and what only looks like it', async () => {
  for (const [name, head, at] of [
    ['empty.img', '', 0],
    ['cd.iso', 'CD001', 32_769],
    ['gpt.img', 'EFI PART', 512],
    ['luks.img', 'LUKS\xba\xbe\0\x02', 0],
    ['later.img', 'QFI\xfb\0\0\0\x03', 512],
    ['word.img', 'QFI\xfb', 0],
    ['mbr.img', '\x55\xaa', 510],
  ] as const)
    assert.is(await refusal(image(name, head, at)), '', name);
  const own = image('own.img', 'QFI\xfb\0\0\0\x03');
  assert.match(await refusal(own), ',raw');
  assert.is(await refusal(own, { isRaw: true }), '');
});

test('how a disk is named', () => {
  assert.equal(diskSpec('a.img'), { path: 'a.img', isReadOnly: false });
  assert.equal(diskSpec('a.img,ro'), { path: 'a.img', isReadOnly: true });
  assert.equal(diskSpec('a.img,raw'), { path: 'a.img', isReadOnly: false, isRaw: true });
  for (const both of ['a,b,ro,raw', 'a,b,raw,ro'])
    assert.equal(diskSpec(both), { path: 'a,b', isReadOnly: true, isRaw: true });
});

test(
  "a board's replica, a guest, a configuration",
  async () => {
    const path = image('board.qcow2', 'QFI\xfb\0\0\0\x03');
    const before = readFileSync(path);
    const options = { path, isReadOnly: false, nowMs: () => 0, onTrouble: () => {} };
    const words = await DiskReplica.open(options).then(
      () => '',
      (error) => error.message,
    );
    assert.match(words, 'qemu-img convert -f qcow2');
    const kernel = join(folder, 'kernel');
    writeFileSync(kernel, tinyGuest.exits(0));
    const command = repoPath('dist/firmware/cli/twinstep.js');
    const twinstep = (...args: string[]) =>
      spawnSync(process.execPath, [command, ...args], { encoding: 'utf8' });
    const guest = twinstep('guest', '--kernel', kernel, '--disk', path);
    assert.is(guest.status, 1);
    assert.match(guest.stderr, /^twinstep guest: disk [^\n]*qemu-img convert -f qcow2[^\n]*\n$/);
    assert.is(twinstep('guest', '--kernel', kernel, '--disk', `${path},ro,raw`).status, 0);
    const file = join(folder, 'board.toml');
    writeFileSync(file, loneConfig({ host: 1, guest: [`disks = ["${path}"]`] }));
    const board = twinstep('board', '--config', file, '--check');
    assert.is(board.status, 1);
    assert.match(board.stderr, /board\.toml:\d+: \[guest\] disks [^\n]*qemu-img convert -f qcow2/);
    assert.equal(readFileSync(path), before);
  },
  SLOW,
);

if (needs.command('qemu-img').met)
  test(
    'what qemu-img makes is told, and its command makes the raw disk again',
    async () => {
      const raw = image('source.raw', 'the first sector', 0, 1 << 20);
      for (const [format, ...options] of [
        ['qcow2'],
        ['qcow2', '-o', 'compat=0.10'],
        ['qcow'],
        ['vmdk'],
        ['vmdk', '-o', 'subformat=streamOptimized'],
        ['vmdk', '-o', 'subformat=monolithicFlat'],
        ['vdi'],
        ['vhdx'],
        ['vpc', '-o', 'subformat=dynamic,force_size'],
        ['vpc', '-o', 'subformat=fixed,force_size'],
        ['qed'],
        ['parallels'],
      ] as const) {
        const name = `${format}${options.join('').replace(/\W/g, '')}`;
        const path = join(folder, `made-${name}.image`);
        const made = spawnSync('qemu-img', [
          'convert',
          '-f',
          'raw',
          '-O',
          format,
          ...options,
          raw,
          path,
        ]);
        assert.is(made.status, 0, String(made.stderr));
        const said = await refusal(path);
        const [, line = ''] = /disk image: (qemu-img convert [^(]+) \(/.exec(said) ?? [];
        assert.is(spawnSync('sh', ['-c', line]).status, 0, said);
        const again = readFileSync(`${path}.raw`);
        assert.equal(again.subarray(0, 1 << 20), readFileSync(raw), name);
        assert.is(await refusal(`${path}.raw`), '');
      }
    },
    SLOW,
  );
else test.skip('what qemu-img makes', 'needs qemu-img (Debian package qemu-utils)');

test.run();

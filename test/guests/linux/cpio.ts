// Writes initramfs archives: cpio "newc" with fixed times and numbers, so the same content gives the
// same bytes. Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.

export interface CpioEntry {
  /** Without a leading slash. Parents must come first. */
  path: string;
  kind: 'file' | 'directory' | 'symlink' | 'character-device';
  /** Permission bits. */
  mode: number;
  /** File content or link target. */
  data?: Uint8Array | string;
  /** Major and minor number of a device. */
  device?: [number, number];
}

const TYPE_BITS = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  'character-device': 0o020000,
} as const;

export function cpio(entries: readonly CpioEntry[]): Buffer {
  const end: CpioEntry = { path: 'TRAILER!!!', kind: 'file', mode: 0 };
  const parts = [...entries, end].flatMap((entry, index) => {
    const data = Buffer.from(entry.data ?? '');
    const name = Buffer.from(`${entry.path}\0`);
    const fields = [
      entry === end ? 0 : index + 1, // inode
      entry === end ? 0 : TYPE_BITS[entry.kind] | entry.mode,
      0, // uid
      0, // gid
      entry.kind === 'directory' ? 2 : 1, // links
      0, // mtime
      data.length,
      0, // device of the file
      0,
      entry.device?.[0] ?? 0,
      entry.device?.[1] ?? 0,
      name.length,
      0, // checksum, unused by newc
    ];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
    const head = Buffer.concat([Buffer.from(header), name]);
    return [head, padding(head.length), data, padding(data.length)];
  });
  return Buffer.concat(parts);
}

/** Headers and contents both start at multiples of four. */
function padding(length: number): Buffer {
  return Buffer.alloc((4 - (length % 4)) % 4);
}

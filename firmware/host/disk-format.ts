// What an image file is when it is no raw one, told by its bytes: a disk is raw here, and an image of another kind
// taken as raw would be written over. Magic numbers as in QEMU's block drivers and in file(1).
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

/** Enough for every header, and for the footer of a VHD that is one byte short. */
const HEAD_BYTES = 512;

interface Format {
  readonly name: string;
  /** Where its bytes are: from the first on, or counted from the last. */
  readonly at: number;
  readonly bytes: string;
  /** The command that makes it raw. */
  readonly convert: (from: string, to: string) => string;
}

const qemu = (format: string) => (from: string, to: string) =>
  `qemu-img convert -f ${format} -O raw ${from} ${to}`;
const unpack = (command: string) => (from: string, to: string) => `${command} ${from} >${to}`;

const FORMATS: readonly Format[] = [
  { name: 'a qcow2 image', at: 0, bytes: 'QFI\xfb\0\0\0\x02', convert: qemu('qcow2') },
  { name: 'a qcow2 image', at: 0, bytes: 'QFI\xfb\0\0\0\x03', convert: qemu('qcow2') },
  { name: 'a qcow image', at: 0, bytes: 'QFI\xfb\0\0\0\x01', convert: qemu('qcow') },
  { name: 'a QED image', at: 0, bytes: 'QED\0', convert: qemu('qed') },
  { name: 'a VMDK image (VMware)', at: 0, bytes: 'KDMV', convert: qemu('vmdk') },
  { name: 'a VMDK image (VMware)', at: 0, bytes: 'COWD', convert: qemu('vmdk') },
  { name: 'a VMDK file (VMware)', at: 0, bytes: '# Disk DescriptorFile', convert: qemu('vmdk') },
  { name: 'a VDI image (VirtualBox)', at: 64, bytes: '\x7f\x10\xda\xbe', convert: qemu('vdi') },
  { name: 'a VHDX image (Hyper-V)', at: 0, bytes: 'vhdxfile', convert: qemu('vhdx') },
  { name: 'a VHD image (Hyper-V)', at: 0, bytes: 'conectix', convert: qemu('vpc') },
  { name: 'a VHD image (Hyper-V)', at: -512, bytes: 'conectix', convert: qemu('vpc') },
  { name: 'a VHD image (Virtual PC)', at: -511, bytes: 'conectix', convert: qemu('vpc') },
  { name: 'a Parallels image', at: 0, bytes: 'WithoutFreeSpace', convert: qemu('parallels') },
  { name: 'a Parallels image', at: 0, bytes: 'WithouFreSpacExt', convert: qemu('parallels') },
  { name: 'a Bochs image', at: 0, bytes: 'Bochs Virtual HD Image', convert: qemu('bochs') },
  { name: 'a DMG image (macOS)', at: -512, bytes: 'koly', convert: qemu('dmg') },
  {
    name: 'an Android sparse image',
    at: 0,
    bytes: '\x3a\xff\x26\xed',
    convert: (from, to) => `simg2img ${from} ${to}`,
  },
  {
    name: 'an EnCase image',
    at: 0,
    bytes: 'EVF\t\r\n\xff\0',
    convert: (from, to) => `ewfexport -f raw -t ${to} ${from}`,
  },
  { name: 'compressed (gzip)', at: 0, bytes: '\x1f\x8b\x08', convert: unpack('gzip -dc') },
  { name: 'compressed (xz)', at: 0, bytes: '\xfd7zXZ\0', convert: unpack('xz -dc') },
  { name: 'compressed (bzip2)', at: 4, bytes: '1AY&SY', convert: unpack('bzip2 -dc') },
  { name: 'compressed (zstd)', at: 0, bytes: '\x28\xb5\x2f\xfd', convert: unpack('zstd -dc') },
  { name: 'compressed (lz4)', at: 0, bytes: '\x04\x22\x4d\x18', convert: unpack('lz4 -dc') },
  { name: 'a zip archive', at: 0, bytes: 'PK\x03\x04', convert: unpack('unzip -p') },
  { name: 'a 7z archive', at: 0, bytes: '7z\xbc\xaf\x27\x1c', convert: unpack('7z x -so') },
  { name: 'a RAR archive', at: 0, bytes: 'Rar!\x1a\x07', convert: unpack('unrar p -inul') },
  // An OVA of VMware or VirtualBox is one, too.
  { name: 'a tar archive', at: 257, bytes: 'ustar', convert: (from) => `tar -xf ${from}` },
];

/** What is wrong with taking this file as a raw disk, and what to do; undefined: nothing. */
export function notRaw(path: string, fd: number, size: number): string | undefined {
  const head = part(fd, 0, Math.min(size, HEAD_BYTES));
  const tail = part(fd, Math.max(0, size - HEAD_BYTES), Math.min(size, HEAD_BYTES));
  const found = FORMATS.find(({ at, bytes }) =>
    at < 0 ? tail.startsWith(bytes, tail.length + at) : head.startsWith(bytes, at),
  );
  if (found === undefined) return undefined;
  const command = found.convert(quoted(path), quoted(rawNameOf(path)));
  return `is ${found.name}, not a raw disk image: ${command} (if the guest itself made it look so: ",raw" behind its name)`;
}

/** The same of a file that is not open; undefined also where it cannot be read. */
export function fileNotRaw(path: string): string | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = fstatSync(fd);
    return stat.isFile() ? notRaw(path, fd, stat.size) : undefined;
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** A letter a byte. */
function part(fd: number, at: number, bytes: number): string {
  const read = Buffer.alloc(bytes);
  return read.toString('latin1', 0, readSync(fd, read, 0, bytes, at));
}

/** The name it will have; never its own. */
function rawNameOf(path: string): string {
  const [, unpacked] =
    /^(.*[^/]\.(?:img|raw|iso|bin))\.(?:gz|xz|bz2|zst|lz4|zip|7z|rar)$/i.exec(path) ?? [];
  if (unpacked !== undefined) return unpacked;
  const stem = path.replace(
    /(?<=[^/])\.(qcow2?|qed|vmdk|vdi|vhdx?|hdd|dmg|img|simg|e01|gz|xz|bz2|zst|lz4|zip|7z|rar|ova|tar)$/i,
    '',
  );
  return `${stem}.raw`;
}

/** As a shell takes it. */
function quoted(path: string): string {
  return /^[\w./:@%+=,-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

// Kernel images made byte by byte, with every field the loaders look at adjustable.

export type LinuxImageOptions = {
  version?: number;
  setupSectors?: number;
  payloadBytes?: number;
  loadFlags?: number;
  extendedLoadFlags?: number;
  isRelocatable?: boolean;
  preferredAddress?: number;
  initBytes?: number;
  initrdAddressMax?: number;
  commandLineBytesMax?: number;
};

export function linuxImage(options: LinuxImageOptions = {}): Uint8Array {
  const setupSectors = options.setupSectors ?? 3;
  const payloadBytes = options.payloadBytes ?? 0x3000;
  const start = (setupSectors + 1) * 512;
  const image = new Uint8Array(start + payloadBytes);
  const view = new DataView(image.buffer);
  view.setUint8(0x1f1, setupSectors);
  view.setUint32(0x1f4, payloadBytes / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint16(0x200, 0x6aeb, true); // the header ends at 0x202 + 0x6a
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, options.version ?? 0x20f, true);
  view.setUint8(0x211, options.loadFlags ?? 1);
  view.setUint32(0x22c, options.initrdAddressMax ?? 0x7fffffff, true);
  view.setUint32(0x230, 0x200000, true);
  view.setUint8(0x234, options.isRelocatable === false ? 0 : 1);
  view.setUint16(0x236, options.extendedLoadFlags ?? 1, true);
  view.setUint32(0x238, options.commandLineBytesMax ?? 2047, true);
  view.setBigUint64(0x258, BigInt(options.preferredAddress ?? 0x1000000), true);
  view.setUint32(0x260, options.initBytes ?? 0x200000, true);
  for (let i = 0; i < payloadBytes; i++) image[start + i] = (i * 7 + 1) & 0xff;
  return image;
}

export type ElfSegmentOptions = {
  readonly virtual: number;
  readonly physical: number;
  readonly data: Uint8Array;
  readonly memoryBytes: number;
};

export type ElfOptions = {
  is64: boolean;
  entry: number;
  machine?: number;
  kind?: number;
  segments: readonly ElfSegmentOptions[];
  // Multiboot header words, put where the first segment's data begins in the file.
  multibootFlags?: number;
};

export function multibootHeader(flags: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x1badb002, true);
  view.setUint32(4, flags, true);
  view.setUint32(8, -(0x1badb002 + flags) >>> 0, true);
  return bytes;
}

export function elfImage(options: ElfOptions): Uint8Array {
  const { is64, segments } = options;
  const headerBytes = is64 ? 64 : 52;
  const entryBytes = is64 ? 56 : 32;
  const dataAt = headerBytes + segments.length * entryBytes + 16;
  const total = dataAt + segments.reduce((sum, { data }) => sum + data.length, 0);
  const image = new Uint8Array(total);
  const view = new DataView(image.buffer);
  const word = (at: number, value: number) => {
    if (is64) view.setBigUint64(at, BigInt(value), true);
    else view.setUint32(at, value, true);
  };
  image.set([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, 1, 1]);
  view.setUint16(16, options.kind ?? 2, true);
  view.setUint16(18, options.machine ?? (is64 ? 62 : 3), true);
  word(24, options.entry);
  word(is64 ? 32 : 28, headerBytes);
  view.setUint16(is64 ? 54 : 42, entryBytes, true);
  view.setUint16(is64 ? 56 : 44, segments.length, true);
  if (options.multibootFlags !== undefined)
    image.set(multibootHeader(options.multibootFlags), (dataAt - 16) & ~3);
  let fileAt = dataAt;
  segments.forEach((segment, i) => {
    const at = headerBytes + i * entryBytes;
    view.setUint32(at, 1, true);
    word(at + (is64 ? 8 : 4), fileAt);
    word(at + (is64 ? 16 : 8), segment.virtual);
    word(at + (is64 ? 24 : 12), segment.physical);
    word(at + (is64 ? 32 : 16), segment.data.length);
    word(at + (is64 ? 40 : 20), segment.memoryBytes);
    image.set(segment.data, fileAt);
    fileAt += segment.data.length;
  });
  return image;
}

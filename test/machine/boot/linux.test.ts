// The Linux loader: what lies where in RAM afterwards, and every refusal with its code.

import { existsSync, readFileSync } from 'node:fs';
import { boot } from '../../../firmware/machine/boot/boot.ts';
import { BootError, type BootErrorCode } from '../../../firmware/machine/boot/errors.ts';
import { MemoryBanks } from '../../../firmware/machine/memory-banks.ts';
import { MIB } from '../../../firmware/machine/memory-map.ts';
import { Ram } from '../../../firmware/machine/ram.ts';
import { assert, repoPath, suite } from '../../harness/index.ts';
import { type LinuxImageOptions, linuxImage } from './images.ts';

const test = suite('machine/boot/linux');

const PARAMS = 0x7000;

function makeRam(mib: number): Ram {
  return new Ram({ memory: new MemoryBanks([new Uint8Array(mib * MIB)]), onWrite: () => {} });
}

function load(
  options: LinuxImageOptions & { mib?: number; initrd?: Uint8Array; commandLine?: string } = {},
) {
  const kernel = linuxImage(options);
  const ram = makeRam(options.mib ?? 64);
  const setup = boot(ram, {
    kernel,
    initrd: options.initrd,
    commandLine: options.commandLine ?? 'console=ttyS0',
  });
  return { ram, setup, kernel };
}

function refusal(code: BootErrorCode, words: RegExp, run: () => unknown): void {
  try {
    run();
  } catch (error) {
    assert.instance(error, BootError);
    assert.is((error as BootError).code, code);
    assert.match((error as BootError).message, words);
    return;
  }
  assert.unreachable(`expected ${code}`);
}

test('kernel at its preferred address, entered 0x200 behind, in 64-bit mode with boot_params', () => {
  const { ram, setup, kernel } = load();
  assert.is(setup.rip, 0x1000200);
  assert.is(setup.registers.rsi, PARAMS);
  assert.is(setup.rflags & 0x200, 0, 'interrupts off');
  assert.is(setup.cr0 >>> 0, 0x80000011);
  assert.is(setup.efer, 0x500);
  assert.is(setup.cs.selector, 0x10);
  assert.is(setup.data.selector, 0x18);
  assert.equal(ram.copy(0x1000000, 0x3000), kernel.subarray(2048));
  assert.equal(ram.copy(PARAMS + 0x1f1, 0x10), kernel.subarray(0x1f1, 0x201));
  assert.is(ram.readU32(PARAMS + 0x202), 0x53726448);
  assert.is(ram.readU8(PARAMS + 0x210), 0xff);
});

test('command line, zero-terminated', () => {
  const { ram } = load({ commandLine: 'console=ttyS0 quiet' });
  const at = ram.readU32(PARAMS + 0x228)!;
  assert.is(Buffer.from(ram.copy(at, 20)!).toString(), 'console=ttyS0 quiet\0');
});

test('memory map', () => {
  const { ram } = load({ mib: 64 });
  const count = ram.readU8(PARAMS + 0x1e8)!;
  const map = Array.from({ length: count }, (_, i) => {
    const at = PARAMS + 0x2d0 + 20 * i;
    return [ram.readU64(at), ram.readU64(at + 8), ram.readU32(at + 16)];
  });
  assert.equal(map, [
    [0, 0x9fc00, 1],
    [0x9fc00, 0x400, 2],
    [0xf0000, 0x10000, 2],
    [MIB, 63 * MIB, 1],
  ]);
});

test('initrd: page-aligned, as high as allowed', () => {
  const initrd = new Uint8Array(5000).fill(0x77);
  const top = load({ initrd, mib: 64 });
  assert.is(top.ram.readU32(PARAMS + 0x218), 64 * MIB - 8192);
  assert.is(top.ram.readU32(PARAMS + 0x21c), 5000);
  assert.equal(top.ram.copy(64 * MIB - 8192, 5000), initrd);
  const bounded = load({ initrd, mib: 64, initrdAddressMax: 40 * MIB - 1 });
  assert.is(bounded.ram.readU32(PARAMS + 0x218), 40 * MIB - 8192);
  assert.is(load().ram.readU32(PARAMS + 0x21c), 0);
});

test('page tables map the first 4 GiB to themselves', () => {
  const { ram, setup } = load();
  const translate = (address: number) => {
    const entry = (table: number, index: number) => ram.readU64(table + 8 * index)!;
    const pdpt = entry(setup.cr3, 0);
    assert.is(pdpt & 3, 3);
    const directory = entry(pdpt - (pdpt % 4096), Math.floor(address / 2 ** 30));
    assert.is(directory & 3, 3);
    const page = entry(directory - (directory % 4096), Math.floor(address / 2 ** 21) % 512);
    assert.is(page % 4096, 0x83);
    return page - 0x83 + (address % 2 ** 21);
  };
  for (const address of [0, 0x1000200, 0x7fffffff, 0xbfffffff, 0xfee00000, 2 ** 32 - 1])
    assert.is(translate(address), address);
});

test('descriptor table agrees with the segments the vCPU starts with', () => {
  const { ram, setup } = load();
  for (const segment of [setup.cs, setup.data]) {
    const high = ram.readU32(setup.gdtBase + segment.selector + 4)!;
    assert.is(((high >>> 8) & 0xff) | ((high >>> 8) & 0xf000), segment.attributes);
  }
  assert.is(setup.gdtLimit, 47);
});

test('too little room at the preferred address: relocatable kernels go lower', () => {
  const { setup } = load({ mib: 16 });
  assert.is(setup.rip, 0x200200);
  refusal('E_MEMORY_TOO_SMALL', /at least 18 MiB/, () => load({ mib: 16, isRelocatable: false }));
  refusal('E_MEMORY_TOO_SMALL', /at least 34 MiB/, () => load({ mib: 4, initBytes: 32 * MIB }));
  refusal('E_MEMORY_TOO_SMALL', /at least \d+ MiB/, () =>
    load({ mib: 20, initrd: new Uint8Array(4 * MIB) }),
  );
});

test('kernels that cannot be started are refused in words', () => {
  refusal('E_KERNEL_OLD', /2\.11 is too old/, () => load({ version: 0x20b }));
  refusal('E_KERNEL_32BIT', /32-bit/, () => load({ extendedLoadFlags: 0 }));
  refusal('E_KERNEL_OLD', /zImage/, () => load({ loadFlags: 0 }));
  refusal('E_COMMAND_LINE', /200 bytes.*100/, () =>
    load({ commandLine: 'x'.repeat(200), commandLineBytesMax: 100 }),
  );
});

test('cut off anywhere: never an exception of another kind', () => {
  const whole = linuxImage();
  const least = whole.length - 511;
  for (let length = 0; length < least; length += length < 0x300 || length > least - 9 ? 1 : 99) {
    try {
      boot(makeRam(32), {
        kernel: whole.subarray(0, length),
        initrd: undefined,
        commandLine: '',
      });
      assert.unreachable(`${length} bytes were taken for a kernel`);
    } catch (error) {
      assert.instance(error, BootError, `${length} bytes: ${error}`);
      const { code } = error as BootError;
      assert.ok(['E_KERNEL_EMPTY', 'E_KERNEL_UNKNOWN', 'E_KERNEL_TRUNCATED'].includes(code));
    }
  }
});

test('the padding behind the last byte may be missing, as in memtest86+', () => {
  for (const missing of [1, 8, 15, 16, 511]) {
    const whole = linuxImage({ preferredAddress: MIB, isRelocatable: false, version: 0x20c });
    whole.fill(0, whole.length - 511);
    const kernel = whole.subarray(0, whole.length - missing);
    const ram = makeRam(16);
    const { rip } = boot(ram, { kernel, initrd: undefined, commandLine: '' });
    assert.is(rip, MIB + 0x200);
    assert.equal(ram.copy(MIB, 0x3000), whole.subarray(2048), `${missing} bytes are missing`);
  }
});

test('files that are no kernels are named', () => {
  const cases: [number[], RegExp][] = [
    [[0x1f, 0x8b, 8], /gzip/],
    [[0x7f, 0x45, 0x4c, 0x46, 2, 1], /ELF file without a Multiboot header/],
    [[0x30, 0x37, 0x30, 0x37, 0x30, 0x31], /cpio/],
    [[0x23, 0x21, 0x2f], /script/],
    [[1, 2, 3, 4], /neither/],
  ];
  for (const [bytes, words] of cases)
    refusal('E_KERNEL_UNKNOWN', words, () =>
      boot(makeRam(16), { kernel: Uint8Array.from(bytes), initrd: undefined, commandLine: '' }),
    );
  refusal('E_KERNEL_EMPTY', /empty/, () =>
    boot(makeRam(16), { kernel: new Uint8Array(0), initrd: undefined, commandLine: '' }),
  );
});

const debianKernel = repoPath('.cache/guest-linux/vmlinuz');
if (existsSync(debianKernel)) {
  test('the Debian kernel is taken', () => {
    const ram = makeRam(256);
    const setup = boot(ram, {
      kernel: readFileSync(debianKernel),
      initrd: new Uint8Array(MIB),
      commandLine: 'console=ttyS0',
    });
    assert.is(setup.rip, 0x1000200);
  });
} else {
  test.skip('the Debian kernel is taken', 'needs npm run guest:linux');
}

test.run();

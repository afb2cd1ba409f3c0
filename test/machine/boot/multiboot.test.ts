// The Multiboot loader: segments, module, information structure, refusals.

import { boot } from '../../../firmware/machine/boot/boot.ts';
import { BootError, type BootErrorCode } from '../../../firmware/machine/boot/errors.ts';
import { MemoryBanks } from '../../../firmware/machine/memory-banks.ts';
import { MIB } from '../../../firmware/machine/memory-map.ts';
import { Ram } from '../../../firmware/machine/ram.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { type ElfOptions, elfImage, multibootHeader } from './images.ts';

const test = suite('machine/boot/multiboot');

const CODE = Uint8Array.from({ length: 300 }, (_, i) => i & 0xff);

const IMAGE: ElfOptions = {
  is64: false,
  entry: 0x100010,
  multibootFlags: 3,
  segments: [{ virtual: 0x100000, physical: 0x100000, data: CODE, memoryBytes: 0x2000 }],
};

function load(options: {
  image?: Partial<ElfOptions>;
  mib?: number;
  initrd?: Uint8Array;
  commandLine?: string;
}) {
  const memory = new Uint8Array((options.mib ?? 16) * MIB).fill(0xcc);
  const ram = new Ram({ memory: new MemoryBanks([memory]), onWrite: () => {} });
  const setup = boot(ram, {
    kernel: elfImage({ ...IMAGE, ...options.image }),
    initrd: options.initrd,
    commandLine: options.commandLine ?? '',
  });
  const info = setup.registers.rbx!;
  const word = (at: number) => ram.readU32(info + at)!;
  const text = (at: number) => {
    let length = 0;
    while (ram.readU8(at + length) !== 0) length++;
    return Buffer.from(ram.copy(at, length)!).toString();
  };
  return { ram, setup, info, word, text };
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

test('ELF32: code in place, zeroed behind, entered in protected mode with the magic', () => {
  const { ram, setup } = load({});
  assert.is(setup.rip, 0x100010);
  assert.is(setup.registers.rax, 0x2badb002);
  assert.is(setup.cr0, 0x11);
  assert.is(setup.efer, 0);
  assert.is(setup.cs.attributes, 0xc09b);
  assert.equal(ram.copy(0x100000, 300), CODE);
  assert.is(
    ram.copy(0x100000 + 300, 0x2000 - 300)!.every((byte) => byte === 0),
    true,
  );
  assert.is(ram.readU8(0x102000), 0xcc, 'nothing behind its memory is touched');
});

test('ELF64: the same, and an entry in virtual addresses is made physical', () => {
  const { ram, setup } = load({
    image: {
      is64: true,
      entry: 0xc0200020,
      segments: [{ virtual: 0xc0200000, physical: 0x200000, data: CODE, memoryBytes: 300 }],
    },
  });
  assert.is(setup.rip, 0x200020);
  assert.equal(ram.copy(0x200000, 300), CODE);
});

test('information: memory sizes, map, command line, loader name', () => {
  const { word, text, ram } = load({ commandLine: 'run=all -v', mib: 16 });
  assert.is(word(0), 0x245);
  assert.is(word(4), 639);
  assert.is(word(8), 15 * 1024);
  assert.is(text(word(16)), 'run=all -v');
  assert.is(text(word(64)), 'twinstep');
  const regions: number[][] = [];
  for (let at = word(48); at < word(48) + word(44); at += ram.readU32(at)! + 4)
    regions.push([ram.readU64(at + 4)!, ram.readU64(at + 12)!, ram.readU32(at + 20)!]);
  assert.equal(regions, [
    [0, 0x9fc00, 1],
    [0x9fc00, 0x400, 2],
    [0xf0000, 0x10000, 2],
    [MIB, 15 * MIB, 1],
  ]);
});

test('the initrd is the module, page-aligned behind the image', () => {
  const initrd = new Uint8Array(1000).fill(0x55);
  const { word, ram, text } = load({ initrd });
  assert.is(word(0) & 8, 8);
  assert.is(word(20), 1);
  const module = word(24);
  assert.is(ram.readU32(module), 0x102000);
  assert.is(ram.readU32(module + 4), 0x102000 + 1000);
  assert.is(text(ram.readU32(module + 8)!), '');
  assert.equal(ram.copy(0x102000, 1000), initrd);
});

test('an image in conventional memory and its information do not overlap', () => {
  const random = seededRandom('overlap');
  for (let round = 0; round < 50; round++) {
    const physical = 0x1000 + random.int(0x60) * 0x1000;
    const memoryBytes = 300 + random.int(0x9fc00 - physical - 300);
    const { info, word } = load({
      image: {
        entry: physical,
        segments: [{ virtual: physical, physical, data: CODE, memoryBytes }],
      },
      commandLine: 'x'.repeat(random.int(3000)),
    });
    const end = word(16) + 3000;
    assert.ok(end <= physical || info >= physical + memoryBytes || info >= MIB, `${info}`);
  }
});

test('refused in words: memory, features, file kinds', () => {
  const far = [{ virtual: 0, physical: 32 * MIB, data: CODE, memoryBytes: 300 }];
  refusal('E_MEMORY_TOO_SMALL', /at least 33 MiB/, () => load({ image: { segments: far } }));
  refusal('E_MEMORY_TOO_SMALL', /MiB/, () => load({ initrd: new Uint8Array(15 * MIB) }));
  refusal('E_KERNEL_UNSUPPORTED', /features 0x4/, () => load({ image: { multibootFlags: 7 } }));
  refusal('E_KERNEL_FOREIGN', /machine type 183/, () => load({ image: { machine: 183 } }));
  refusal('E_KERNEL_FOREIGN', /not an executable/, () => load({ image: { kind: 3 } }));
  refusal('E_KERNEL_FOREIGN', /nothing to load/, () => load({ image: { segments: [] } }));
  refusal('E_KERNEL_UNSUPPORTED', /not an ELF/, () =>
    boot(new Ram({ memory: new MemoryBanks([new Uint8Array(4 * MIB)]), onWrite: () => {} }), {
      kernel: multibootHeader(3),
      initrd: undefined,
      commandLine: '',
    }),
  );
});

test('hostile images never get past the loader with another error', () => {
  const random = seededRandom('hostile');
  const ram = new Ram({ memory: new MemoryBanks([new Uint8Array(4 * MIB)]), onWrite: () => {} });
  let refused = 0;
  for (let round = 0; round < 3000; round++) {
    const kernel = elfImage({ ...IMAGE, is64: random.chance(0.5) });
    for (let i = random.int(6); i > 0; i--) kernel[random.int(140)] = random.int(256);
    const cut = random.chance(0.3) ? random.int(kernel.length) : kernel.length;
    try {
      boot(ram, { kernel: kernel.subarray(0, cut), initrd: undefined, commandLine: '' });
    } catch (error) {
      assert.instance(error, BootError, `${error}`);
      refused++;
    }
  }
  assert.ok(refused > 300);
  assert.is(ram.refused, 0, 'every write was checked before');
});

test.run();

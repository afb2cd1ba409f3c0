// Guests of a few bytes, assembled by hand: 32-bit code that Multiboot starts with interrupts off.
import { elfImage } from '../machine/boot/images.ts';

const ENTRY = 0x10_0000;
const COM1 = 0x3f8;
const DEBUG_EXIT = 0xf4;

/** mov dx, port; mov al, value; out dx, al */
const out = (port: number, value: number) => [
  ...[0x66, 0xba, port & 0xff, port >> 8],
  ...[0xb0, value, 0xee],
];
const LOOP_FOREVER = [0xeb, 0xfe];

function guest(...code: number[][]): Uint8Array {
  const data = Uint8Array.from(code.flat());
  const segment = { virtual: ENTRY, physical: ENTRY, data, memoryBytes: data.length };
  return elfImage({ is64: false, entry: ENTRY, multibootFlags: 0, segments: [segment] });
}

/** A port at power-on sends five bits of each byte. */
const EIGHT_BITS = out(COM1 + 3, 3);
const say = (text: string) => [
  ...EIGHT_BITS,
  ...[...text].flatMap((letter) => out(COM1, letter.charCodeAt(0))),
];

export const tinyGuest = {
  exits: (code: number, text = '') => guest(say(text), out(DEBUG_EXIT, code)),
  resets: (text: string) => guest(say(text), out(0x64, 0xfe), LOOP_FOREVER),
  /** An undefined instruction without anything to handle it. */
  tripleFaults: () => guest([0x0f, 0x0b]),
  spins: (text = '') => guest(say(text), LOOP_FOREVER),
  halts: (text = '') => guest(say(text), [0xf4], LOOP_FOREVER),
  /** Sends back every byte plus one; ends with code 5 on "q". */
  echoes: () =>
    guest(
      EIGHT_BITS,
      [0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf7], // wait for LSR data ready
      [0x66, 0xba, 0xf8, 0x03, 0xec], // take it
      [0x3c, 0x71, 0x74, 0x05], // 'q' leaves
      [0xfe, 0xc0, 0xee, 0xeb, 0xe9], // inc al; out; again
      out(DEBUG_EXIT, 5),
    ),
};

// Guests of a few bytes: 32-bit code without paging, written down as machine code in the test itself.
import { type Image, multibootCpu } from './guest.ts';

export const CODE_AT = 0x1000;

export function rawGuest(...code: (number | readonly number[])[]): Image {
  return {
    segments: [{ address: CODE_AT, bytes: Uint8Array.from(code.flat()) }],
    cpu: { ...multibootCpu(CODE_AT), registers: { rsp: 0x8000 } },
  };
}

const dword = (value: number) =>
  [value, value >>> 8, value >>> 16, value >>> 24].map((b) => b & 255);

// A few instructions by name; the rest stands as bytes where it is used.
export const nop = [0x90];
export const halt = [0xf4];
export const pushEax = [0x50];
export const repStosb = [0xf3, 0xaa];
export const movEax = (value: number) => [0xb8, ...dword(value)];
export const movEcx = (value: number) => [0xb9, ...dword(value)];
export const movEdi = (value: number) => [0xbf, ...dword(value)];
export const movEsp = (value: number) => [0xbc, ...dword(value)];
export const storeEax = (address: number) => [0xa3, ...dword(address)];
export const loadEax = (address: number) => [0xa1, ...dword(address)];
export const increment = (address: number) => [0xff, 0x05, ...dword(address)];
/** JMP back over `bytes` bytes and itself. */
export const loopBack = (bytes: number) => [0xe9, ...dword(-bytes - 5)];
/** Repeats what is before it for ever. */
export const forever = (...body: (readonly number[])[]) => {
  const bytes = body.flat();
  return [...bytes, ...loopBack(bytes.length)];
};

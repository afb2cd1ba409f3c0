// Guest memory by offset, in banks: JavaScript sees no piece of memory above 4 GiB as one (Node 20), and a
// guest may have more. Every bank is as long as the first, but for the last, which may be shorter. What
// leads outside throws: offsets come from Ram and from sync-up, which have checked them.
import type { GuestMemory } from '../../native/index.ts';
import { PAGE_BYTES } from './memory-map.ts';

export type PageRange = { readonly first: number; readonly end: number };

export class MemoryBanks {
  readonly bytes: number;
  private readonly banks: readonly Uint8Array[];
  private readonly views: readonly DataView[];
  private readonly first: Uint8Array;
  private readonly firstView: DataView;
  private readonly bankBytes: number;
  private readonly realPages: (page: number) => PageRange;

  // `realPages` says which pages were ever touched: the first such run that ends behind a page.
  constructor(banks: readonly Uint8Array[], realPages?: (page: number) => PageRange) {
    const [first] = banks;
    if (first === undefined) throw new RangeError('no bank');
    this.banks = banks;
    this.views = banks.map((bank) => new DataView(bank.buffer, bank.byteOffset, bank.length));
    this.first = first;
    this.firstView = this.views[0]!;
    this.bankBytes = first.length;
    this.bytes = banks.reduce((sum, bank) => sum + bank.length, 0);
    this.realPages = realPages ?? ((first) => ({ first, end: this.bytes / PAGE_BYTES }));
    const isEven = banks.every(({ length }, at) =>
      at < banks.length - 1 ? length === this.bankBytes : length <= this.bankBytes,
    );
    if (this.bankBytes === 0 || !isEven) throw new RangeError('banks of unlike sizes');
  }

  static of(memory: GuestMemory): MemoryBanks {
    const banks = memory.banks.map((bank) => new Uint8Array(bank));
    return new MemoryBanks(banks, (page) => memory.realPages(page));
  }

  // ---- numbers, little-endian ---------------------------------------------------------------
  // The first bank, which most guests have alone, goes a way short enough to be made part of its caller.

  u8(at: number): number {
    return at < this.bankBytes ? this.firstView.getUint8(at) : this.farU8(at);
  }

  u16(at: number): number {
    return at + 2 <= this.bankBytes ? this.firstView.getUint16(at, true) : this.farU16(at);
  }

  u32(at: number): number {
    return at + 4 <= this.bankBytes ? this.firstView.getUint32(at, true) : this.farU32(at);
  }

  setU8(at: number, value: number): void {
    if (at < this.bankBytes) this.firstView.setUint8(at, value);
    else this.farSetU8(at, value);
  }

  setU16(at: number, value: number): void {
    if (at + 2 <= this.bankBytes) this.firstView.setUint16(at, value, true);
    else this.farSetU16(at, value);
  }

  setU32(at: number, value: number): void {
    if (at + 4 <= this.bankBytes) this.firstView.setUint32(at, value, true);
    else this.farSetU32(at, value);
  }

  // ---- ranges -------------------------------------------------------------------------------

  // Fills `into` completely.
  read(at: number, into: Uint8Array): void {
    this.check(at, into.length);
    const end = at + into.length;
    if (end <= this.bankBytes) {
      into.set(this.first.subarray(at, end));
      return;
    }
    for (let done = 0; done < into.length; ) {
      const part = this.part(at + done, into.length - done);
      into.set(part, done);
      done += part.length;
    }
  }

  write(at: number, from: Uint8Array): void {
    this.check(at, from.length);
    if (at + from.length <= this.bankBytes) {
      this.first.set(from, at);
      return;
    }
    for (let done = 0; done < from.length; ) {
      const part = this.part(at + done, from.length - done);
      part.set(from.subarray(done, done + part.length));
      done += part.length;
    }
  }

  fill(at: number, bytes: number, value: number): void {
    this.check(at, bytes);
    for (let done = 0; done < bytes; ) {
      const part = this.part(at + done, bytes - done);
      part.fill(value);
      done += part.length;
    }
  }

  copy(at: number, bytes: number): Uint8Array {
    const into = new Uint8Array(bytes);
    this.read(at, into);
    return into;
  }

  // Pages that were ever touched, run by run; all others are zeros, and a look at one would make it real memory.
  *touched(): Generator<PageRange> {
    const pages = this.bytes / PAGE_BYTES;
    for (let page = 0; page < pages; ) {
      const range = this.realPages(page);
      if (range.first < range.end) yield range;
      page = Math.max(range.end, page + 1);
    }
  }

  // ---- inside -------------------------------------------------------------------------------

  private farU8(at: number): number {
    const bank = Math.floor(at / this.bankBytes);
    return this.views[bank]!.getUint8(at - bank * this.bankBytes);
  }

  private farU16(at: number): number {
    const bank = Math.floor(at / this.bankBytes);
    const within = at - bank * this.bankBytes;
    if (within + 2 <= this.bankBytes) return this.views[bank]!.getUint16(within, true);
    return this.u8(at) + this.u8(at + 1) * 2 ** 8;
  }

  private farU32(at: number): number {
    const bank = Math.floor(at / this.bankBytes);
    const within = at - bank * this.bankBytes;
    if (within + 4 <= this.bankBytes) return this.views[bank]!.getUint32(within, true);
    return this.u16(at) + this.u16(at + 2) * 2 ** 16;
  }

  private farSetU8(at: number, value: number): void {
    const bank = Math.floor(at / this.bankBytes);
    this.views[bank]!.setUint8(at - bank * this.bankBytes, value);
  }

  private farSetU16(at: number, value: number): void {
    const bank = Math.floor(at / this.bankBytes);
    const within = at - bank * this.bankBytes;
    if (within + 2 <= this.bankBytes) this.views[bank]!.setUint16(within, value, true);
    else {
      this.setU8(at, value);
      this.setU8(at + 1, value >>> 8);
    }
  }

  private farSetU32(at: number, value: number): void {
    const bank = Math.floor(at / this.bankBytes);
    const within = at - bank * this.bankBytes;
    if (within + 4 <= this.bankBytes) this.views[bank]!.setUint32(within, value, true);
    else {
      this.setU16(at, value);
      this.setU16(at + 2, value >>> 16);
    }
  }

  // As much of the range as lies in its first bank.
  private part(at: number, bytes: number): Uint8Array {
    const bank = Math.floor(at / this.bankBytes);
    const within = at - bank * this.bankBytes;
    return this.banks[bank]!.subarray(within, Math.min(within + bytes, this.bankBytes));
  }

  private check(at: number, bytes: number): void {
    if (at >= 0 && bytes >= 0 && at + bytes <= this.bytes) return;
    throw new RangeError(`${bytes} bytes at ${at} of ${this.bytes} bytes of memory`);
  }
}

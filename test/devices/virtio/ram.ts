// Guest memory for device tests: plain bytes in up to two pieces with a hole between, and guards
// around each piece, so that a device that leaves guest memory is seen to do so.
import type { GuestRam } from '../../../firmware/devices/contracts.ts';

const GUARD_BYTES = 4096;
const GUARD = 0xa5;

interface Piece {
  base: number;
  bytes: number;
  /** The piece with its guards. */
  all: Uint8Array;
  inside: Uint8Array;
  view: DataView;
}

export class TestRam implements GuestRam {
  readonly bytes: number;
  refused = 0;
  private readonly pieces: Piece[];

  constructor(...pieces: { base: number; bytes: number }[]) {
    this.pieces = pieces.map(({ base, bytes }) => {
      const all = new Uint8Array(bytes + 2 * GUARD_BYTES).fill(GUARD);
      const inside = all.subarray(GUARD_BYTES, GUARD_BYTES + bytes).fill(0);
      return { base, bytes, all, inside, view: new DataView(all.buffer, GUARD_BYTES, bytes) };
    });
    this.bytes = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  has(address: number, bytes: number): boolean {
    return this.find(address, bytes) !== undefined;
  }

  readU8(address: number): number | undefined {
    return this.at(address, 1, (view, offset) => view.getUint8(offset));
  }
  readU16(address: number): number | undefined {
    return this.at(address, 2, (view, offset) => view.getUint16(offset, true));
  }
  readU32(address: number): number | undefined {
    return this.at(address, 4, (view, offset) => view.getUint32(offset, true));
  }
  readU64(address: number): number | undefined {
    return this.at(address, 8, (view, offset) => Number(view.getBigUint64(offset, true)));
  }
  writeU8(address: number, value: number): boolean {
    return this.set(address, 1, (view, offset) => view.setUint8(offset, value));
  }
  writeU16(address: number, value: number): boolean {
    return this.set(address, 2, (view, offset) => view.setUint16(offset, value, true));
  }
  writeU32(address: number, value: number): boolean {
    return this.set(address, 4, (view, offset) => view.setUint32(offset, value, true));
  }
  writeU64(address: number, value: number): boolean {
    return this.set(address, 8, (view, offset) => view.setBigUint64(offset, BigInt(value), true));
  }

  read(address: number, into: Uint8Array): boolean {
    return this.bytesAt(address, into.length, (bytes) => into.set(bytes));
  }
  write(address: number, from: Uint8Array): boolean {
    return this.bytesAt(address, from.length, (bytes) => bytes.set(from));
  }
  copy(address: number, bytes: number): Uint8Array | undefined {
    let result: Uint8Array | undefined;
    this.bytesAt(address, bytes, (found) => {
      result = found.slice();
    });
    return result;
  }
  fill(address: number, bytes: number, value: number): boolean {
    return this.bytesAt(address, bytes, (found) => found.fill(value));
  }

  /** Have all bytes outside guest memory kept their value? */
  areGuardsWhole(): boolean {
    return this.pieces.every(({ all, bytes }) => {
      const before = all.subarray(0, GUARD_BYTES);
      const after = all.subarray(GUARD_BYTES + bytes);
      return before.every((byte) => byte === GUARD) && after.every((byte) => byte === GUARD);
    });
  }

  /** An equal memory of its own. */
  clone(): TestRam {
    const twin = new TestRam(...this.pieces.map(({ base, bytes }) => ({ base, bytes })));
    for (const [index, piece] of this.pieces.entries()) {
      twin.pieces[index]!.inside.set(piece.inside);
    }
    twin.refused = this.refused;
    return twin;
  }

  equals(other: TestRam): boolean {
    return this.pieces.every(
      ({ inside }, index) => Buffer.compare(inside, other.pieces[index]!.inside) === 0,
    );
  }

  private find(address: number, bytes: number): Piece | undefined {
    if (!Number.isSafeInteger(address) || !Number.isSafeInteger(bytes) || bytes < 0)
      return undefined;
    return this.pieces.find(
      (piece) => address >= piece.base && address + bytes <= piece.base + piece.bytes,
    );
  }

  private at<T>(address: number, bytes: number, use: (view: DataView, offset: number) => T) {
    const piece = this.find(address, bytes);
    if (piece !== undefined) return use(piece.view, address - piece.base);
    this.refused++;
    return undefined;
  }

  private set(address: number, bytes: number, use: (view: DataView, offset: number) => void) {
    return this.at(address, bytes, (view, offset) => [use(view, offset)]) !== undefined;
  }

  private bytesAt(address: number, bytes: number, use: (found: Uint8Array) => void): boolean {
    const piece = this.find(address, bytes);
    if (piece === undefined) this.refused++;
    else use(piece.inside.subarray(address - piece.base, address - piece.base + bytes));
    return piece !== undefined;
  }
}

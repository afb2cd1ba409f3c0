// Entries of one log as bytes and back: ENTRIES.md has the diagram and the reasons, entry-kinds.ts what
// every kind adds. Encoder and decoder keep the same small context (last position, last clock), so that
// a clock step or an output marker costs a few bytes; both must see every entry of a log in order.
//
// Bytes come from a file or a peer: decoding never throws, it answers with a reason.
import type { DecodeReason, Entry } from './entry.ts';
import { bodyOf, codecOf, EntryContext } from './entry-kinds.ts';
import { ByteReader, ByteWriter } from './varint.ts';

export type Decoded =
  | { readonly ok: true; readonly entry: Entry; readonly bytes: number }
  | { readonly ok: false; readonly reason: DecodeReason; readonly at: number };

const U64_END = 1n << 64n;

export class EntryEncoder {
  private readonly context = new EntryContext();
  private readonly out = new ByteWriter();

  /** The entry's bytes. Throws on what the recorder must never make: positions or time going back. */
  encode({ position, body }: Entry): Uint8Array {
    const { context, out } = this;
    if (position < context.position) {
      throw new Error(`entry at ${position} after ${context.position}`);
    }
    const codec = codecOf(body);
    out.u8(codec.number | (codec.aux(body) << 4));
    out.varint(position - context.position);
    context.position = position;
    codec.write(out, body, context);
    codec.note?.(context, body);
    return out.take();
  }
}

export class EntryDecoder {
  private readonly context = new EntryContext();

  /** Decodes the entry at `at`. On failure the decoder is left as it was before the call. */
  decode(bytes: Uint8Array, at = 0): Decoded {
    const { context } = this;
    const reader = new ByteReader(bytes, at);
    const head = reader.u8();
    const before = context.position;
    const position = before + reader.varint();
    if (!reader.ok) return { ok: false, reason: 'cut', at };
    if (position >= U64_END) return { ok: false, reason: 'range', at };
    context.position = position;
    const body = bodyOf(head & 0xf, head >> 4, reader, context);
    if (!reader.ok || typeof body === 'string') {
      context.position = before;
      return { ok: false, reason: typeof body === 'string' && reader.ok ? body : 'cut', at };
    }
    codecOf(body).note?.(context, body);
    return { ok: true, entry: { position, body }, bytes: reader.position - at };
  }
}

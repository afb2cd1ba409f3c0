// Listens in on the log link from outside, with nothing but the pairing key: meets every session the two
// boards make (their nonces pass in clear), opens every frame, and gives out the messages of the log
// lane with the moment at which the last byte of each was on the cable.
import { decodeLogMessage, type LogMessage } from '../../firmware/board/replication/messages.ts';
import { type FrameCipher, NodeCipher } from '../../logchan/cipher.ts';
import { clusterTag, HelloAuth, sessionKeys } from '../../logchan/keys.ts';
import { FRAME_BYTES_MAX } from '../../logchan/limits.ts';
import { emptyBody, LANE, readBody } from '../../logchan/sections.ts';
import { emptyHeader, KIND, readHeader, readHello } from '../../logchan/wire.ts';
import type { Captured } from './capture.ts';
import { earshot, SIDES, type Side } from './network.ts';

const ETHERNET_BYTES = 14;
const ETHERTYPE = 0x88b5;
const NONCES_KEPT = 32;

export interface Overheard {
  /** Who said it. */
  readonly side: Side;
  readonly timeUs: number;
  readonly message: LogMessage;
}

export class Wiretap {
  readonly overheard: Overheard[] = [];
  /** Sealed frames of sessions whose beginning was not heard, and frames that did not open. */
  unknown = 0;
  forged = 0;
  /** Sessions met. */
  sessions = 0;
  private readonly pairingKey: Uint8Array;
  private readonly cluster: Uint8Array;
  private readonly auth: HelloAuth;
  private readonly nonces: Record<Side, Uint8Array[]> = { a: [], b: [] };
  private readonly known = new Map<number, Record<Side, Direction> | undefined>();
  private readonly header = emptyHeader();
  private readonly body = emptyBody();
  private readonly plain = new Uint8Array(FRAME_BYTES_MAX);

  constructor(pairingKey: Uint8Array, cluster: string) {
    this.pairingKey = pairingKey;
    this.cluster = clusterTag(cluster);
    this.auth = new HelloAuth(pairingKey);
  }

  hear({ port: name, timeUs, frame }: Captured): void {
    const side = SIDES.find((at) => earshot('log', at) === name);
    if (side === undefined || frame.readUInt16BE(12) !== ETHERTYPE) return;
    const { header } = this;
    if (readHeader(frame, ETHERNET_BYTES, frame.length, header) !== undefined) return;
    if (header.kind === KIND.hello) this.hello(side, frame);
    else this.sealed(side, timeUs, frame);
  }

  private hello(side: Side, frame: Uint8Array): void {
    const verify = (signed: Uint8Array, mac: Uint8Array) => this.auth.verify(signed, mac);
    const hello = readHello(frame, this.header, this.cluster, verify);
    if (typeof hello === 'string') return;
    const nonces = this.nonces[side];
    if (nonces.some((nonce) => Buffer.compare(nonce, hello.nonce) === 0)) return;
    nonces.push(hello.nonce);
    if (nonces.length > NONCES_KEPT) nonces.shift();
    // A session that could not be named may be nameable now.
    for (const [name, direction] of this.known)
      if (direction === undefined) this.known.delete(name);
  }

  private sealed(side: Side, timeUs: number, frame: Uint8Array): void {
    const { header, body, plain } = this;
    const direction = this.session(header.session)?.[side];
    if (direction === undefined) {
      this.unknown++;
      return;
    }
    const { cipher, lane } = direction;
    const bytes = cipher.open(header.counter, frame, ETHERNET_BYTES, header.bodyEnd, plain);
    if (bytes < 0 || readBody(plain, bytes, body) !== undefined) {
      this.forged++;
      return;
    }
    const data = body.data[LANE.log];
    if (!data.present) return;
    for (const entry of lane.take(data.offset, plain.subarray(data.start, data.end))) {
      const decoded = decodeLogMessage(entry);
      if (decoded.ok) this.overheard.push({ side, timeUs, message: decoded.message });
    }
  }

  /** The name of a session follows from its keys: that of the right pair of nonces fits. */
  private session(name: number): Record<Side, Direction> | undefined {
    if (this.known.has(name)) return this.known.get(name);
    let found: Record<Side, Direction> | undefined;
    for (const mine of this.nonces.a)
      for (const theirs of this.nonces.b) {
        const keys = sessionKeys(this.pairingKey, this.cluster, { mine, theirs });
        if (keys.session !== name) continue;
        const direction = (key: typeof keys.send) => ({
          cipher: new NodeCipher(key),
          lane: new Lane(),
        });
        found = { a: direction(keys.send), b: direction(keys.receive) };
        this.sessions++;
      }
    this.known.set(name, found);
    return found;
  }
}

interface Direction {
  readonly cipher: FrameCipher;
  readonly lane: Lane;
}

/** One lane's stream, put together from pieces in any order, and cut into its entries. */
class Lane {
  private received = 0;
  private readonly early = new Map<number, Uint8Array>();
  private rest: Uint8Array = new Uint8Array(0);

  /** Entries that are whole now. */
  take(offset: number, bytes: Uint8Array): Uint8Array[] {
    const known = this.early.get(offset);
    if (known === undefined || known.length < bytes.length)
      this.early.set(offset, Uint8Array.from(bytes));
    for (let progress = true; progress; ) {
      progress = false;
      for (const [at, piece] of this.early) {
        if (at > this.received) continue;
        this.early.delete(at);
        progress = true;
        if (at + piece.length <= this.received) continue;
        const fresh = piece.subarray(this.received - at);
        this.rest = Buffer.concat([this.rest, fresh]);
        this.received += fresh.length;
      }
    }
    return this.cut();
  }

  private cut(): Uint8Array[] {
    const entries: Uint8Array[] = [];
    let at = 0;
    for (;;) {
      let [length, shift, head] = [0, 0, at];
      let byte = 0x80;
      while (head < this.rest.length && (byte & 0x80) !== 0) {
        byte = this.rest[head++] as number;
        length |= (byte & 0x7f) << shift;
        shift += 7;
      }
      if ((byte & 0x80) !== 0 || head + length > this.rest.length) break;
      entries.push(Uint8Array.from(this.rest.subarray(head, head + length)));
      at = head + length;
    }
    this.rest = this.rest.subarray(at);
    return entries;
  }
}

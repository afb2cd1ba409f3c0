// The Output Rule, proven from outside: one capture of the plant LAN and the log link, one clock. For every
// frame of the guest that a protected board let out: the marker of that very frame (its CRC-32 is in the
// log) went over the log link, and the backup's acknowledgement of it was on its way back before the
// frame was on the LAN. Both are seen where their cables end in our namespace, so the order on our clock is
// the true order.
import { crc32 } from 'node:zlib';
import { ItemReader } from '../../firmware/lockstep/item-stream.ts';
import type { Captured } from './capture.ts';
import { earshot, other, SIDES, type Side } from './network.ts';
import type { Overheard } from './wiretap.ts';

const ETHERTYPE = { arp: 0x0806, rarp: 0x8035, ipv6: 0x86dd } as const;
/** A marker may cover so many frames. */
const GROUP_MAX = 64;

interface Marker {
  readonly hash: number;
  /** When it was on the log link. */
  readonly timeUs: number;
  /** Its log message, counted from the stream's begin. */
  readonly index: number;
  readonly stream: Stream;
}

/** One log, from one board to one follower. */
interface Stream {
  readonly side: Side;
  readonly number: number;
  readonly generation: number;
  readonly session: number;
  readonly sinceUs: number;
  /** The grant's mark: from here on nothing may leave without an acknowledgement. */
  grantedUs: number;
  /** Nothing more was said in it. */
  untilUs: number;
  readonly reader: ItemReader;
  messages: number;
  readonly markers: Marker[];
  /** The moments at which `through` grew. */
  readonly acks: { readonly timeUs: number; readonly through: number }[];
}

export interface OutputRuleVerdict {
  /** Frames of the guest under protection, each with its marker and acknowledgement. */
  readonly proven: number;
  /** Frames of the guest while its board led alone: nothing to wait for. */
  readonly alone: number;
  readonly streams: number;
  /** From acknowledgement to frame, microseconds. */
  readonly waitUs: readonly number[];
  readonly faults: readonly string[];
}

export interface Evidence {
  readonly guestMac: string;
  readonly frames: readonly Captured[];
  readonly overheard: readonly Overheard[];
  /** Moments at which a board began to lead alone (a promotion after a death, say). */
  readonly aloneFrom: readonly { readonly side: Side; readonly fromUs: number }[];
}

export function outputRule(evidence: Evidence): OutputRuleVerdict {
  const streams = readStreams(evidence.overheard);
  const faults: string[] = streams.flatMap(({ reader, side }) =>
    reader.problem === undefined ? [] : [`log of board ${side}: ${reader.problem}`],
  );
  let [proven, alone] = [0, 0];
  const waitUs: number[] = [];
  for (const side of SIDES) {
    const mine = streams.filter((stream) => stream.side === side);
    const said = guestFrames(evidence, side);
    const markers = markersOf(mine, said);
    for (const [i, { frame, timeUs }] of said.entries()) {
      const stream = streamAt(mine, timeUs);
      if (stream === undefined || isAlone(evidence, stream, side, timeUs)) {
        alone++;
        continue;
      }
      const words = `board ${side}, frame of ${frame.length} bytes at ${timeUs}`;
      const marker = markers[i];
      const ack = marker?.stream.acks.find(({ through }) => through >= marker.index);
      if (marker === undefined) faults.push(`${words}: the log has no marker of it`);
      else if (ack === undefined) faults.push(`${words}: never acknowledged`);
      else if (ack.timeUs > timeUs)
        faults.push(`${words}: acknowledged ${ack.timeUs - timeUs} us after it was seen`);
      else {
        proven++;
        waitUs.push(timeUs - ack.timeUs);
      }
    }
  }
  return { proven, alone, streams: streams.length, waitUs, faults };
}

/** The stream that is in force: its follower has been granted, and no later stream has begun. */
function streamAt(streams: readonly Stream[], timeUs: number): Stream | undefined {
  return streams.findLast(({ sinceUs, grantedUs }) => sinceUs <= timeUs && grantedUs <= timeUs);
}

/** The board has since decided that nobody can follow: its gate is open until the next grant. */
function isAlone({ aloneFrom }: Evidence, stream: Stream, side: Side, timeUs: number): boolean {
  return aloneFrom.some(
    (since) => since.side === side && since.fromUs <= timeUs && since.fromUs > stream.grantedUs,
  );
}

function guestFrames({ frames, guestMac }: Evidence, side: Side): readonly Captured[] {
  const mac = guestMac.replaceAll(':', '');
  const name = earshot('front', side);
  return frames.filter(
    ({ port: at, frame }) =>
      at === name && frame.subarray(6, 12).toString('hex') === mac && !isAnnouncement(frame),
  );
}

/** Said by the board in the name of the guest, to tell the switches where it is: no output of the guest. */
function isAnnouncement(frame: Buffer): boolean {
  const type = frame.readUInt16BE(12);
  if (type === ETHERTYPE.rarp) return true;
  if (type === ETHERTYPE.ipv6) return isUnsolicitedAdvertisement(frame);
  const [sender, target] = [frame.subarray(28, 32), frame.subarray(38, 42)];
  return type === ETHERTYPE.arp && sender.equals(target);
}

/** RFC 4861, 4.4: to all nodes, and no answer to anybody. */
function isUnsolicitedAdvertisement(frame: Buffer): boolean {
  const [isIcmp, type] = [frame[20] === 58, frame[54]];
  const isAsked = (frame.readUInt8(58) & 0x40) !== 0;
  return isIcmp && type === 136 && !isAsked && frame.toString('hex', 38, 54) === ALL_NODES;
}

const ALL_NODES = 'ff020000000000000000000000000001';

function readStreams(overheard: readonly Overheard[]): Stream[] {
  const streams: Stream[] = [];
  const current: Partial<Record<Side, Stream>> = {};
  for (const { side, timeUs, message } of overheard) {
    if (message.type === 'begin') {
      const { stream: number, generation, session } = message;
      const fresh: Stream = {
        ...{ side, number, generation, session, sinceUs: timeUs },
        ...{ grantedUs: Number.POSITIVE_INFINITY, untilUs: timeUs },
        ...{ reader: new ItemReader(), messages: 0 },
        ...{ markers: [], acks: [] },
      };
      current[side] = fresh;
      streams.push(fresh);
    } else if (message.type === 'ack') {
      const stream = current[other(side)];
      if (stream === undefined || stream.number !== message.stream) continue;
      if (stream.generation !== message.generation || stream.session !== message.session) continue;
      stream.acks.push({ timeUs, through: message.through });
    } else if (message.type === 'log' || message.type === 'mark') {
      const stream = current[side];
      if (stream === undefined) continue;
      stream.messages++;
      stream.untilUs = timeUs;
      if (message.type === 'log') takeLog(stream, message.bytes, timeUs);
      // A hand-over names the follower before it begins to lead: the stream is a grant from its start.
      else if (message.mark === 'grant') stream.grantedUs = Math.min(stream.grantedUs, timeUs);
    }
  }
  return streams;
}

function takeLog(stream: Stream, bytes: Uint8Array, timeUs: number): void {
  for (const item of stream.reader.push(bytes)) {
    if (item.kind !== 'entry' || item.entry.body.kind !== 'output') continue;
    const { hash } = item.entry.body;
    stream.markers.push({ hash, timeUs, index: stream.messages, stream });
  }
}

/**
 * The marker of each frame. A marker's hash is of all outputs since the one before: mostly that is one
 * frame, sometimes several. Frames and markers are in the same order, so each search goes on where
 * the last one ended.
 */
function markersOf(streams: readonly Stream[], said: readonly Captured[]): (Marker | undefined)[] {
  const markers = streams.flatMap((stream) => stream.markers);
  const places = new Map<number, number[]>();
  for (const [at, { hash }] of markers.entries()) {
    const known = places.get(hash);
    if (known === undefined) places.set(hash, [at]);
    else known.push(at);
  }
  const found: (Marker | undefined)[] = said.map(() => undefined);
  let next = 0;
  for (let i = 0; i < said.length; i++) {
    let hash = 0;
    for (let count = 1; count <= GROUP_MAX && i + count <= said.length; count++) {
      hash = hashOf(hash, said[i + count - 1]!.frame);
      // Frames can be alike (ARP): a marker that was not there yet is another one's.
      const seenUs = said[i + count - 1]!.timeUs;
      const at = places
        .get(hash)
        ?.find((place) => place >= next && markers[place]!.timeUs <= seenUs);
      if (at === undefined) continue;
      found.fill(markers[at], i, i + count);
      next = at + 1;
      i += count - 1;
      break;
    }
  }
  return found;
}

/** As firmware/lockstep/outputs.ts counts them, written down a second time. */
function hashOf(hash: number, frame: Uint8Array): number {
  return crc32(frame, crc32(`n0:${frame.length}:`, hash));
}

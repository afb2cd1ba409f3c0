// Every limit of the channel with the sentence why, and the relations between them, which are
// asserted when this module loads: a changed number that breaks another one stops the first test.
import { assert } from './errors.ts';

/** Bump when an older peer would read a frame differently. A test pins a checksum of the vectors. */
export const FORMAT_VERSION = 1;
/** 'TW'. The EtherType is shared with every other experiment on the segment. */
export const FORMAT_MAGIC = 0x5457;
/** IEEE 802 Local Experimental EtherType 1. */
export const ETHERTYPE = 0x88b5;
/** "Use for experimentation and testing" (RFC 3692), for links that are routed. */
export const IP_PROTOCOL = 253;

export const PAIRING_KEY_BYTES = 32;
export const NONCE_BYTES = 32;
export const CLUSTER_TAG_BYTES = 8;
export const HELLO_MAC_BYTES = 32;
/** The longest AES-GCM has; a shorter tag would save what nobody needs. */
export const TAG_BYTES = 16;

/** Smallest payload of an Ethernet frame: shorter ones arrive padded to it. */
export const ETHERNET_PAYLOAD_BYTES_MIN = 46;
/** Passes every Ethernet and nearly every tunnel; a session starts with it and probes for more. */
export const FRAME_BYTES_BASE = 1280;
/** What counts as a jumbo frame on industrial NICs; larger ones are rare and gain nothing. */
export const FRAME_BYTES_MAX = 9000;

/** Counters are 48 bits: 8.9 years at a million frames a second, and exact in a number. */
export const COUNTER_MAX = 2 ** 48 - 1;
/** Stream offsets are exact in a number: 22 years at 100 Mbit/s. */
export const OFFSET_MAX = Number.MAX_SAFE_INTEGER;
/** Frames later than this behind the newest are refused unseen; a dedicated link reorders a few. */
export const REPLAY_WINDOW_FRAMES = 4096;

/** A guest network frame with offloads is 64 KiB; a slice's dirty pages are cut by their owner. */
export const MESSAGE_BYTES_MAX = 1 << 20;
/** Length prefix of a message in the stream: LEB128 of at most MESSAGE_BYTES_MAX. */
export const ENTRY_PREFIX_BYTES_MAX = 3;
/** Separate ranges held behind a gap. More means a link that reorders wildly: data is re-sent. */
export const RANGES_MAX = 32;

/** Log messages in the peer's memory and not yet taken: what a backup may lag. */
export const LOG_BUFFER_BYTES = 8 << 20;
export const LOG_BUFFER_MESSAGES = 1 << 16;
export const BULK_BUFFER_BYTES = 4 << 20;
export const BULK_BUFFER_MESSAGES = 1 << 12;

/** A peer that is there is heard this often even when nothing happens. */
export const KEEPALIVE_US = 10_000;
/** Silence is an event for the arbiter, which has other paths to ask; not a verdict. */
export const SILENT_US = 40_000;
/** While no session stands, the peer is called this often. */
export const CALL_US = 20_000;
/** Answers cost a MAC: one in this time is enough for a peer and starves a flood. */
export const ANSWER_GAP_US = 1_000;
/** A session the peer does not confirm in this time was made with a peer that is gone again. */
export const CONFIRM_US = 200_000;
/** Doubled every time up to here: two boards that answer slowly, just booting say, meet all the same. */
export const CONFIRM_US_MAX = 3_200_000;

/** A path of lesser preference calls less often while a better one has a carrier. */
export const CALL_SPARE_US = 100_000;

/**
 * No answer over the path that carries, for this long at least, and others are tried. A board that is
 * merely busy stands still for less; the peer's silence is declared after it.
 */
export const PATH_ANSWER_US_MIN = 20_000;
/** The same once the peer sends its own data another way: it may have seen the cable go. */
export const PATH_DOUBT_US = 5_000;
/** Before that a second look: frames may have come while this board stood still. */
export const PATH_LOOK_AGAIN_US = 2_000;
/** Paths that answer so much later than the first have answered at the same time. */
export const PATH_SETTLE_US = 5_000;
/** A peer that answers over no path for this long is called less often. */
export const PATH_SEARCH_FAST_US = 1_000_000;
/** A path that was in trouble carries again when it has answered for this long without a miss. */
export const PATH_GOOD_US = 5_000_000;
/** A path that carries nothing is asked this often; one that may soon carry, more often. */
export const PATH_ASK_US = 4_000_000;
export const PATH_ASK_TRIAL_US = 500_000;
/** Asked again after this long without an answer; before its first answer, sooner. */
export const PATH_ASK_AGAIN_US = 1_000_000;
export const PATH_ASK_FIRST_US = 250_000;
/** So many questions without an answer, and a path is lost. */
export const PATH_ASKS_MAX = 3;
/** Copies waiting for a path whose port takes no frames; more are of no use. */
export const PATH_COPIES_MAX = 256;

/** Timers of the host are this coarse, so no time-out is shorter. */
export const TIMER_GRAIN_US = 1_000;
/** Until the first measurement; a cable between two boards is a hundred times faster. */
export const RTT_INITIAL_US = 10_000;
/** Upper end of the back-off: a cable plugged in again is noticed at least this fast. */
export const PROBE_TIMEOUT_US_MAX = 100_000;
/** Frames sent later and known to have arrived before an earlier one counts as lost (RFC 9002). */
export const REORDER_FRAMES = 3;
/** Messages nobody waits for are collected this long to fill a frame. */
export const LINGER_US = 1_000;
/**
 * Messages whose sender does not ask for an acknowledgement get it with the next frame that leaves, after so many
 * frames, or after this time: boards that say something every 5 ms need no frame for it.
 */
export const LOG_ACK_FRAMES = 2;
export const LOG_ACK_US = 10_000;
/** Bulk frames taken in before they are acknowledged, unless something is missing. */
export const BULK_ACK_FRAMES = 8;
export const BULK_ACK_US = 500;

/** In flight at least this much whatever the link does: progress never depends on a measurement. */
export const WINDOW_BYTES_MIN = 16 << 10;
export const WINDOW_BYTES_INITIAL = 64 << 10;
export const WINDOW_BYTES_MAX = 2 << 20;
/** Fewer than a receive ring has slots: a peer that stalls for a moment loses nothing. */
export const IN_FLIGHT_FRAMES_MAX = 1536;
/** Messages may exceed the window by this: bulk data in flight must not hold them back. */
export const LOG_RESERVE_BYTES = 64 << 10;
/** Queueing that messages may cause themselves, and what bulk data may cause before it yields. */
export const LOG_QUEUE_US = 5_000;
export const BULK_QUEUE_US = 500;

assert(TIMER_GRAIN_US <= LINGER_US, 'a linger shorter than the timer never ends in time');
assert(KEEPALIVE_US * 3 <= SILENT_US, 'two lost keepalives are no silence');
assert(
  KEEPALIVE_US < PATH_ANSWER_US_MIN && PATH_ANSWER_US_MIN + PATH_LOOK_AGAIN_US < SILENT_US,
  'another path speaks before silence is declared',
);
assert(2 * LOG_ACK_US <= PATH_ANSWER_US_MIN, 'an acknowledgement that waits is no silence');
assert(LOG_ACK_US <= KEEPALIVE_US, 'a keepalive says it as soon');
assert(PATH_ASK_TRIAL_US * 4 <= PATH_GOOD_US, 'a good path has answered several times');
assert(CALL_US * 4 <= CONFIRM_US, 'a confirmation may be lost a few times');
assert(ANSWER_GAP_US * 2 <= CALL_US, 'every call can be answered');
assert(FRAME_BYTES_BASE <= FRAME_BYTES_MAX && FRAME_BYTES_MAX <= 0xffff, 'lengths are 16 bits');
assert(MESSAGE_BYTES_MAX < 1 << (7 * ENTRY_PREFIX_BYTES_MAX), 'the prefix holds every length');
assert(
  2 * (MESSAGE_BYTES_MAX + ENTRY_PREFIX_BYTES_MAX) <= Math.min(LOG_BUFFER_BYTES, BULK_BUFFER_BYTES),
  'the largest message fits beside another: a full buffer always drains',
);
assert(
  WINDOW_BYTES_MAX / FRAME_BYTES_BASE >= IN_FLIGHT_FRAMES_MAX,
  'a full window of small frames is what the limit on frames is for',
);
assert(WINDOW_BYTES_MIN >= FRAME_BYTES_MAX, 'one frame of any size is always allowed');
assert(BULK_QUEUE_US < LOG_QUEUE_US, 'bulk yields to messages');

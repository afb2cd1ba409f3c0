// Two new boards agree on a pairing key over the serial line, and a technician who reads the same
// six digits on both consoles knows that nobody sits in between. Each side first commits to its key
// and nonce by a hash, and shows them only when it holds the other's commitment. So whoever sits in
// between must choose before seeing what the digits depend on: one blind try in a million.
// Pure: events in, messages and state out. The caller repeats `message` every half second.
//
//   committing --commit, or a reveal at once--> revealing --reveal fits--> comparing --technician: same--> confirming
//   confirming --confirm fits--> done;   anything that does not fit, or a `different`: failed
import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  type KeyObject,
  timingSafeEqual,
} from 'node:crypto';
import { PAIRING_KEY_BYTES, type Side } from './path-frame.ts';

const STEP = { commit: 1, reveal: 2, confirm: 3, abort: 4 } as const;
const PUBLIC_BYTES = 32;
const NONCE_BYTES = 16;
const CONFIRM_BYTES = 16;
const NAME_BYTES_MAX = 31;
/** DER around 32 raw bytes of an X25519 key, RFC 8410. */
const PRIVATE_HEAD = Buffer.from('302e020100300506032b656e04220420', 'hex');
/** board-2 before board-10. */
const byName = new Intl.Collator('en', { numeric: true });
const PUBLIC_HEAD = Buffer.from('302a300506032b656e032100', 'hex');

export type PairingStage =
  | 'committing'
  | 'revealing'
  | 'comparing'
  | 'confirming'
  | 'done'
  | 'failed';

export interface PairingState {
  readonly stage: PairingStage;
  /** Why it failed, for the console. */
  readonly why: string;
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly nonce: Uint8Array;
  /** What the technician calls this board: the sides are in the order of the names. */
  readonly name: string;
  readonly peerCommit: Uint8Array | null;
  readonly peerReveal: Uint8Array | null;
  readonly peerConfirm: Uint8Array | null;
  /** Six digits for both consoles, from `comparing` on. */
  readonly code: string | null;
  readonly side: Side | null;
  readonly key: Uint8Array | null;
}

export type PairingEvent =
  | { readonly type: 'message'; readonly body: Uint8Array }
  | { readonly type: 'technician'; readonly same: boolean };

/** `privateKey` (32) and `nonce` (16) are fresh random bytes: the caller's duty. */
export function beginPairing(privateKey: Uint8Array, nonce: Uint8Array, name = ''): PairingState {
  if (privateKey.length !== PUBLIC_BYTES || nonce.length !== NONCE_BYTES) {
    throw new Error('pairing needs 32 and 16 fresh random bytes');
  }
  const der = createPublicKey(toPrivate(privateKey)).export({ format: 'der', type: 'spki' });
  return {
    stage: 'committing',
    why: '',
    privateKey,
    publicKey: der.subarray(PUBLIC_HEAD.length),
    nonce,
    name,
    peerCommit: null,
    peerReveal: null,
    peerConfirm: null,
    code: null,
    side: null,
    key: null,
  };
}

/** What to send now, and to repeat until the stage changes; null when there is nothing to say. */
export function pairingMessage(state: PairingState): Uint8Array | null {
  const reveal = revealOf(state);
  switch (state.stage) {
    case 'committing':
      return concat([[STEP.commit], commitOf(reveal)]);
    case 'revealing':
    case 'comparing':
      return concat([[STEP.reveal], reveal]);
    case 'confirming':
    case 'done':
      return concat([[STEP.confirm], confirmOf(state, state.side as Side)]);
    case 'failed':
      return concat([[STEP.abort], [1]]);
  }
}

export function stepPairing(state: PairingState, event: PairingEvent): PairingState {
  if (state.stage === 'done' || state.stage === 'failed') return state;
  if (event.type === 'technician') return decide(state, event.same);
  const [step, ...rest] = event.body;
  const content = Uint8Array.from(rest);
  switch (step) {
    case STEP.commit:
      return takeCommit(state, content);
    case STEP.reveal:
      return takeReveal(state, content);
    case STEP.confirm:
      return takeConfirm(state, content);
    case STEP.abort:
      return fail(state, 'the other console refused');
    default:
      return state;
  }
}

function takeCommit(state: PairingState, commit: Uint8Array): PairingState {
  if (commit.length !== 32 || state.peerCommit !== null) {
    // A different commitment in the middle is someone else: never replaced.
    const same = state.peerCommit !== null && equal(state.peerCommit, commit);
    return same || commit.length !== 32 ? state : fail(state, 'a second board speaks on this line');
  }
  const own = commitOf(revealOf(state));
  if (equal(own, commit)) return fail(state, 'the line echoes: is the plug a loop?');
  return { ...state, stage: 'revealing', peerCommit: commit };
}

function takeReveal(state: PairingState, reveal: Uint8Array): PairingState {
  if (!isReveal(reveal) || state.peerReveal !== null) return state;
  // Its commitment was lost. Mine is all it has seen of me, so showing its key commits it as well.
  if (state.peerCommit === null) {
    const committed = takeCommit(state, commitOf(reveal));
    return committed.stage === 'failed' ? committed : takeReveal(committed, reveal);
  }
  if (!equal(commitOf(reveal), state.peerCommit)) {
    return fail(state, 'the other side changed its key after committing to it');
  }
  const peerPublic = reveal.subarray(0, PUBLIC_BYTES);
  const secret = agree(state.privateKey, peerPublic);
  if (secret === null) return fail(state, 'the other side sent a key that is none');
  const mine = revealOf(state);
  const side = sideOf(mine, reveal);
  const [ofA, ofB] = (side === 'a' ? [mine, reveal] : [reveal, mine]).map(commitOf);
  const transcript = concat([ofA!, ofB!]);
  const digest = createHash('sha256').update('twinstep pairing code').update(transcript).digest();
  const code = String(digest.readUInt32BE(0) % 1_000_000).padStart(6, '0');
  const salt = createHash('sha256').update(transcript).digest();
  const key = hkdfSync('sha256', secret, salt, 'twinstep pairing key', PAIRING_KEY_BYTES);
  return { ...state, stage: 'comparing', peerReveal: reveal, side, code, key: new Uint8Array(key) };
}

function decide(state: PairingState, same: boolean): PairingState {
  if (state.stage !== 'comparing') return state;
  if (!same) return fail(state, 'the codes differ: someone may be on the line');
  return finish({ ...state, stage: 'confirming' });
}

function takeConfirm(state: PairingState, confirm: Uint8Array): PairingState {
  if (state.key === null || confirm.length !== CONFIRM_BYTES) return state;
  return finish({ ...state, peerConfirm: confirm });
}

function finish(state: PairingState): PairingState {
  if (state.stage !== 'confirming' || state.peerConfirm === null) return state;
  const expected = confirmOf(state, state.side === 'a' ? 'b' : 'a');
  if (!equal(expected, state.peerConfirm)) return fail(state, 'the keys of the two sides differ');
  return { ...state, stage: 'done' };
}

function fail(state: PairingState, why: string): PairingState {
  return { ...state, stage: 'failed', why, key: null };
}

/** Key, nonce, name. */
function revealOf({ publicKey, nonce, name }: PairingState): Uint8Array {
  return concat([publicKey, nonce, Buffer.from(name).subarray(0, NAME_BYTES_MAX)]);
}

function isReveal({ length }: Uint8Array): boolean {
  const bytesMin = PUBLIC_BYTES + NONCE_BYTES;
  return length >= bytesMin && length <= bytesMin + NAME_BYTES_MAX;
}

/** press-7-a is side a, press-7-b side b; boards of one name by their keys. */
function sideOf(mine: Uint8Array, theirs: Uint8Array): Side {
  const [own, other] = [mine, theirs].map((reveal) =>
    Buffer.from(reveal.subarray(PUBLIC_BYTES + NONCE_BYTES))
      .toString('latin1')
      .toLowerCase(),
  );
  const order = byName.compare(own!, other!) || Buffer.compare(mine, theirs);
  return order < 0 ? 'a' : 'b';
}

function commitOf(reveal: Uint8Array): Buffer {
  return createHash('sha256').update('twinstep pairing commit').update(reveal).digest();
}

function confirmOf(state: PairingState, side: Side): Buffer {
  const mac = createHmac('sha256', state.key as Uint8Array).update(`twinstep confirmed ${side}`);
  return mac.digest().subarray(0, CONFIRM_BYTES);
}

function agree(privateKey: Uint8Array, publicKey: Uint8Array): Buffer | null {
  try {
    const der = concat([PUBLIC_HEAD, publicKey]);
    const peer = createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' });
    return diffieHellman({ privateKey: toPrivate(privateKey), publicKey: peer });
  } catch {
    // A point of small order: the library refuses the all-zero secret.
    return null;
  }
}

function toPrivate(raw: Uint8Array): KeyObject {
  const der = Buffer.from(concat([PRIVATE_HEAD, raw]));
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}

function concat(parts: ArrayLike<number>[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => Array.from(part)));
}

function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

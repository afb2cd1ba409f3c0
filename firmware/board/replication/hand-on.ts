// Whom each message of the peer concerns: the leading side, the following side, or neither.
import type { BulkMessage } from './bulk-messages.ts';
import type { ClockTalk } from './clock-talk.ts';
import type { Following } from './following.ts';
import type { Leading } from './leading.ts';
import type { LogMessage } from './messages.ts';

export interface Receivers {
  readonly leading: Leading;
  readonly following: Following;
  readonly clockTalk: ClockTalk;
  /** A sealed one of the peer's arbiter. */
  readonly statement: (frame: Uint8Array) => void;
  /** What the peer says of itself, encoded. */
  readonly about: (bytes: Uint8Array) => void;
}

export function handOn(message: LogMessage, to: Receivers): void {
  const { leading, following, clockTalk } = to;
  switch (message.type) {
    case 'statement':
      to.statement(message.frame);
      return;
    case 'begin':
      following.begin(message);
      return;
    case 'log':
      following.log(message);
      return;
    case 'mark':
      following.mark(message);
      return;
    case 'released':
      following.released(message);
      return;
    case 'ack':
      leading.ack(message);
      return;
    case 'want':
      leading.wanted(message);
      return;
    case 'refuse':
      following.refuse(message);
      return;
    case 'synced':
      leading.targetSynced(message);
      return;
    case 'drop':
      following.drop(message);
      return;
    case 'look':
      following.look(message);
      return;
    case 'base':
      if (message.step === 'begin' || message.step === 'here') following.base(message);
      else leading.care.base(message);
      return;
    case 'about':
      to.about(message.about);
      return;
    case 'heard':
      following.heard(message);
      return;
    case 'clock-ask':
      clockTalk.asked(message);
      return;
    case 'clock':
      clockTalk.answered(message);
      return;
  }
}

export function handOnBulk(message: BulkMessage, { leading, following }: Receivers): void {
  if (message.type === 'hashes' || message.type === 'page-hashes') leading.hashes(message);
  else if (message.type === 'looked') leading.care.looked(message);
  else following.bulk(message);
}

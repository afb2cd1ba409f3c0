// `npm run demo`: shows what works today, by doing it, and says plainly what does not yet.
import { GuestMemory } from '../../native/index.ts';
import { version } from './version.ts';

const MIB = 1 << 20;

/** One guest memory seen through two mappings: what two threads of a board will share. */
function guestMemory(): string {
  const first = new GuestMemory({ bytes: 256 * MIB });
  const second = new GuestMemory({ token: first.token });
  new Uint8Array(first.buffer)[200 * MIB] = 0x5a;
  first.close();
  const seen = new Uint8Array(second.buffer)[200 * MIB];
  second.close();
  if (seen !== 0x5a) throw new Error('the second mapping does not see what the first wrote');
  return '256 MiB of guest memory, written through one mapping, read through another: same bytes';
}

console.log(`Twinstep ${version()}\n`);
console.log(`works: ${guestMemory()}`);
console.log(
  '\nnot yet: running a guest, pairing two boards. README.md has the state of each part.',
);

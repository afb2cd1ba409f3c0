// A disk that somebody else wrote while the board was away, and one that nobody did.
import { decodeSeen, encodeSeen, isChangedSince, SEEN_MS } from '../../firmware/host/disk-seen.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('host/disk-seen');
const AT_MS = 1_800_000_000_000;

test('what was said comes back; altered or never said is nothing', () => {
  const seen = { isEnd: true, atMs: AT_MS, writtenMs: [AT_MS - 5.25, AT_MS - 7000] };
  const bytes = encodeSeen(seen);
  assert.equal(decodeSeen(bytes), seen);
  for (const at of [0, 9, 20, 30, 511]) {
    const altered = bytes.slice();
    altered[at]! ^= 1;
    assert.is(decodeSeen(altered), undefined);
  }
  assert.is(decodeSeen(new Uint8Array(0)), undefined);
});

test('after an end in order any other time of the last write tells', () => {
  const seen = { isEnd: true, atMs: AT_MS, writtenMs: [AT_MS - 5000, AT_MS - 9000] };
  assert.not.ok(isChangedSince(seen, [AT_MS - 5000, AT_MS - 9000]));
  assert.ok(isChangedSince(seen, [AT_MS - 5000, AT_MS - 8999]));
  // Put back with its old time.
  assert.ok(isChangedSince(seen, [AT_MS - 90_000, AT_MS - 9000]));
});

test('after a cut a write counts that is later than the board can have been there', () => {
  const seen = { isEnd: false, atMs: AT_MS, writtenMs: [AT_MS - 5000] };
  assert.not.ok(isChangedSince(seen, [AT_MS + SEEN_MS]));
  assert.ok(isChangedSince(seen, [AT_MS + SEEN_MS + 60_000]));
});

test('nothing said, or of another number of disks: nobody knows', () => {
  assert.ok(isChangedSince(undefined, [AT_MS]));
  assert.ok(isChangedSince({ isEnd: false, atMs: AT_MS, writtenMs: [] }, [AT_MS]));
});

test.run();

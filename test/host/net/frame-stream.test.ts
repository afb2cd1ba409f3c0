// Frames on a byte stream, however the stream is cut, and streams that are no such thing.
import {
  encodeFrame,
  FRAME_BYTES_MAX,
  FRAME_BYTES_MIN,
  FrameDecoder,
} from '../../../firmware/host/net/frame-stream.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';

const test = suite('host/net/frame-stream');
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

test('a frame is its length, big-endian, and its bytes', () => {
  const frame = Uint8Array.from({ length: 14 }, (_, at) => at);
  assert.is(hex(encodeFrame(frame)), `0000000e${hex(frame)}`);
});

test('any cut of the stream gives the same frames', () => {
  const random = seededRandom();
  for (let round = 0; round < 200; round++) {
    const lengths = Array.from({ length: 1 + random.int(6) }, () =>
      random.pick([FRAME_BYTES_MIN, 60, 1514, random.int(4000) + 14]),
    );
    const frames = lengths.map((length) => random.bytes(length));
    const stream = Buffer.concat(frames.map(encodeFrame));
    const decoder = new FrameDecoder();
    const seen: string[] = [];
    for (let at = 0; at < stream.length; ) {
      const count = Math.min(stream.length - at, random.pick([1, 3, 100, 2000]));
      seen.push(...decoder.push(stream.subarray(at, at + count)).map(hex));
      at += count;
    }
    assert.equal(seen, frames.map(hex));
    assert.is(decoder.problem, undefined);
  }
});

test('frames keep no hold on the stream they came in', () => {
  const [frame] = new FrameDecoder().push(encodeFrame(new Uint8Array(60)));
  assert.is(frame?.buffer.byteLength, 60);
});

test('an impossible length ends the stream with its reason; what was whole before is given', () => {
  const good = encodeFrame(new Uint8Array(60));
  for (const length of [0, FRAME_BYTES_MIN - 1, FRAME_BYTES_MAX + 1, 0xffffffff]) {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(length, 0);
    const decoder = new FrameDecoder();
    assert.is(decoder.push(Buffer.concat([good, head, good])).length, 1);
    assert.is(decoder.problem, `a frame of ${length} bytes was announced`);
    assert.is(decoder.push(good).length, 0);
  }
});

test('a stream in single bytes costs no more than its length', () => {
  const frame = new Uint8Array(FRAME_BYTES_MAX);
  const stream = encodeFrame(frame);
  const decoder = new FrameDecoder();
  const started = performance.now();
  let frames = 0;
  for (let at = 0; at < stream.length; at++) {
    frames += decoder.push(stream.subarray(at, at + 1)).length;
  }
  assert.is(frames, 1);
  assert.ok(performance.now() - started < 2000);
});

test.run();

// One schedule again, with every frame in a file for Wireshark (logchan/dissector/):
//   node dist/test/sim/logchan-capture.js SEED FILE.pcapng
import { closeSync, openSync, writeSync } from 'node:fs';
import { Capture } from '../../logchan/capture.ts';
import { TAG_BYTES } from '../../logchan/limits.ts';
import { HEADER_BYTES, KIND } from '../../logchan/wire.ts';
import { schedule } from './logchan-schedules.ts';

const [seed = '', path = ''] = process.argv.slice(2);
if (!/^\d+$/.test(seed) || path === '') {
  console.error('usage: logchan-capture SEED FILE.pcapng');
  process.exit(2);
}

const file = openSync(path, 'w');
let timeUs = 0;
const capture = new Capture(
  `seed ${seed}`,
  (bytes) => writeSync(file, bytes),
  () => timeUs,
);
try {
  const world = schedule(Number(seed), (side, frame, nowUs) => {
    timeUs = nowUs;
    const direction = side === 0 ? 'out' : 'in';
    if (frame[3] === KIND.hello) capture.frame(frame, direction);
    else {
      const body = frame.subarray(HEADER_BYTES, frame.length - TAG_BYTES);
      capture.opened(frame.subarray(0, HEADER_BYTES), body, direction);
    }
  });
  console.log(world.describe());
} catch (error) {
  console.log(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  closeSync(file);
}

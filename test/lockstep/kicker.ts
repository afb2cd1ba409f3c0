// A thread that kicks an engine all the time, at distances nobody planned: kicks land in the middle of
// whatever the guest does.
import { Worker } from 'node:worker_threads';
import { repoPath } from '../harness/index.ts';

const CODE = `
  const { workerData } = require('node:worker_threads');
  const { kick } = require(workerData.addon);
  let seed = workerData.seed | 1;
  const next = () => {
    seed ^= seed << 13; seed ^= seed >>> 17; seed ^= seed << 5;
    return seed >>> 0;
  };
  const stop = new Int32Array(workerData.stop);
  while (Atomics.load(stop, 0) === 0) {
    // Mostly dense, sometimes long pauses.
    const spins = next() % (next() % 8 === 0 ? workerData.spins * 50 : workerData.spins);
    for (let n = 0; n < spins; n++) Atomics.load(stop, 0);
    kick(workerData.token);
  }`;

export class Kicker {
  private readonly stop = new SharedArrayBuffer(4);
  private readonly ended: Promise<unknown>;

  /** `spins`: the longest distance of dense kicks, in turns of an empty loop. */
  constructor(token: bigint, seed: number, spins: number) {
    const kind = process.env.TWINSTEP_ADDON === 'Debug' ? 'Debug' : 'Release';
    const addon = repoPath(`native/build/${kind}/twinstep.node`);
    const workerData = { token, seed, spins, stop: this.stop, addon };
    const worker = new Worker(CODE, { eval: true, workerData });
    this.ended = new Promise((resolve) => worker.once('exit', resolve));
  }

  async end(): Promise<void> {
    Atomics.store(new Int32Array(this.stop), 0, 1);
    await this.ended;
  }
}

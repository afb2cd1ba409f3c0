// What a stream of entries was, in a few words: both ends must come to the same.
import { createHash } from 'node:crypto';

export interface StreamSummary {
  entries: number;
  bytes: number;
  digest: string;
}

export class StreamDigest {
  entries = 0;
  bytes = 0;
  private readonly hash = createHash('sha256');
  private readonly length = new Uint8Array(4);

  add(entry: Uint8Array): void {
    this.entries++;
    this.bytes += entry.length;
    new DataView(this.length.buffer).setUint32(0, entry.length);
    this.hash.update(this.length).update(entry);
  }

  summary(): StreamSummary {
    const { entries, bytes } = this;
    return { entries, bytes, digest: this.hash.copy().digest('hex') };
  }
}

export const testChannelOptions = {
  pairingKey: new Uint8Array(32).fill(0x42),
  cluster: 'test bench',
};

// What a stream of messages was, in a few words: both ends must come to the same.
import { createHash } from 'node:crypto';

export interface StreamSummary {
  messages: number;
  bytes: number;
  digest: string;
}

export class StreamDigest {
  messages = 0;
  bytes = 0;
  private readonly hash = createHash('sha256');
  private readonly length = new Uint8Array(4);

  add(message: Uint8Array): void {
    this.messages++;
    this.bytes += message.length;
    new DataView(this.length.buffer).setUint32(0, message.length);
    this.hash.update(this.length).update(message);
  }

  summary(): StreamSummary {
    const { messages, bytes } = this;
    return { messages, bytes, digest: this.hash.copy().digest('hex') };
  }
}

export const testChannelOptions = {
  pairingKey: new Uint8Array(32).fill(0x42),
  cluster: 'test bench',
};

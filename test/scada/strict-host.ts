// A Sparkplug host application that believes nothing: it checks every message of one edge node against
// the specification's rules (chapters 5 and 6), and keeps what it would show.
import type { EdgeAction } from '../../firmware/scada/edge-node.ts';
import { decodePayload, type Metric, type Payload } from '../../firmware/scada/payload.ts';
import { assert } from '../harness/index.ts';

export class StrictHost {
  readonly kinds: string[] = [];
  readonly nodeMetrics = new Map<string, Metric['value']>();
  readonly history: Metric[] = [];
  deviceMetrics: Map<string, Metric['value']> | undefined;
  isOnline = false;
  bdSeq: number | undefined;
  private willBdSeq: number | undefined;
  private lastBdSeq: number | undefined;
  private nextSeq = 0;
  private isSubscribed = false;

  /** A CONNECT with this will. */
  connect({ topic, payload }: { topic: string; payload: Uint8Array }): void {
    assert.match(topic, /^spBv1\.0\/[^/]+\/NDEATH\/[^/]+$/);
    const will = read(payload);
    assert.is(will.seq, undefined, 'tck-id-payloads-ndeath-seq');
    this.willBdSeq = bdSeqOf(will);
    if (this.lastBdSeq !== undefined) {
      assert.is(this.willBdSeq, (this.lastBdSeq + 1) % 256, 'one higher each CONNECT');
    }
    this.lastBdSeq = this.willBdSeq;
    this.isSubscribed = false;
  }

  /** The connection broke; the broker sends the will. */
  lost(): void {
    this.isOnline = false;
    this.deviceMetrics = undefined;
  }

  take(actions: readonly EdgeAction[]): void {
    for (const action of actions) {
      if (action.do === 'subscribe') this.isSubscribed = true;
      if (action.do === 'publish') this.hear(action.topic, action.payload);
    }
  }

  hear(topic: string, bytes: Uint8Array): void {
    const kind = topic.split('/')[2] as string;
    const payload = read(bytes);
    this.kinds.push(kind);
    if (kind === 'NDEATH') {
      assert.is(bdSeqOf(payload), this.willBdSeq);
      this.lost();
      return;
    }
    assert.ok(this.isSubscribed, 'commands are subscribed before the birth');
    if (kind === 'NBIRTH') this.birth(payload);
    else assert.ok(this.isOnline, `${kind} before NBIRTH`);
    assert.is(payload.seq, this.nextSeq, `seq of ${kind}`);
    this.nextSeq = (this.nextSeq + 1) % 256;
    if (kind === 'NDATA') this.data(payload, this.nodeMetrics);
    if (kind === 'DBIRTH') this.deviceMetrics = new Map(entries(payload));
    if (kind === 'DDATA') this.data(payload, this.deviceMetrics);
    if (kind === 'DDEATH') {
      assert.ok(this.deviceMetrics, 'DDEATH of a device that was born');
      this.deviceMetrics = undefined;
    }
  }

  private birth(payload: Payload): void {
    this.isOnline = true;
    this.deviceMetrics = undefined;
    this.nextSeq = 0;
    this.bdSeq = bdSeqOf(payload);
    assert.is(this.bdSeq, this.willBdSeq, 'tck-id-payloads-nbirth-bdseq');
    this.nodeMetrics.clear();
    for (const [name, value] of entries(payload)) {
      assert.not.match(name, /[.,\\@#$%^&*()[\]{}|!~:;'"<>?]/, 'a name hosts can show');
      assert.not.ok(this.nodeMetrics.has(name), 'each metric once');
      this.nodeMetrics.set(name, value);
    }
    assert.is(this.nodeMetrics.get('Node Control/Rebirth'), false);
  }

  private data(payload: Payload, into: Map<string, Metric['value']> | undefined): void {
    assert.ok(into, 'data of something that was born');
    for (const metric of payload.metrics) {
      assert.ok(into?.has(metric.name), `${metric.name} was in the birth`);
      if (metric.isHistorical) this.history.push(metric);
      else into?.set(metric.name, metric.value);
    }
  }
}

function read(bytes: Uint8Array): Payload {
  const payload = decodePayload(bytes);
  assert.ok(payload, 'a payload');
  return payload as Payload;
}

const entries = (payload: Payload) =>
  payload.metrics.map(({ name, value }) => [name, value] as const);

function bdSeqOf(payload: Payload): number {
  const metric = payload.metrics.find(({ name }) => name === 'bdSeq');
  assert.is(metric?.type, 'int64');
  return Number(metric?.value);
}

// A life of a guest without engine and memory: a fake machine, the real tap and outbox, a digest that counts.
import type { DiskRequest, Output } from '../../../firmware/devices/contracts.ts';
import type { Life } from '../../../firmware/host/vcpu/life.ts';
import type { LogSink } from '../../../firmware/host/vcpu/log-sink.ts';
import { Outbox } from '../../../firmware/host/vcpu/outbox.ts';
import type { Entry } from '../../../firmware/lockstep/entry.ts';
import type { Birth } from '../../../firmware/lockstep/item-stream.ts';
import { OutputTap } from '../../../firmware/lockstep/outputs.ts';
import { FakeMachine } from './fake-machine.ts';

export const DIGEST = { state: 7n, memory: 8n };

export function birthOf(number: number): Birth {
  const entropySeed = new Uint8Array(32).fill(number);
  return { number, epochSeconds: 1_700_000_000, entropySeed, multiplier: 10n << 32n };
}

export class FakeLife {
  readonly machine = new FakeMachine();
  readonly tap = new OutputTap();
  readonly outbox = new Outbox();
  readonly birth: Birth;
  readonly kickToken: bigint;
  readonly slices = undefined;
  digests = 0;
  readonly digest = {
    take: () => {
      this.digests++;
      return DIGEST;
    },
  };
  private readonly pending: readonly DiskRequest[];

  constructor(options: { number?: number; kickToken?: bigint; pending?: DiskRequest[] } = {}) {
    this.birth = birthOf(options.number ?? 1);
    this.kickToken = options.kickToken ?? 0n;
    this.pending = options.pending ?? [];
    this.machine.output = this.tap.sink;
  }

  pendingRequests(): readonly DiskRequest[] {
    return this.pending;
  }

  get asLife(): Life {
    return this as unknown as Life;
  }
}

/** Keeps what it gets. */
export class FakeSink implements LogSink {
  readonly log: Entry[] = [];

  get entries(): number {
    return this.log.length;
  }

  append(entry: Entry): void {
    this.log.push(entry);
  }

  life(): void {}

  line(): void {}

  take(): Uint8Array[] {
    return [];
  }

  /** As `kind@position`. */
  words(): string[] {
    return this.log.map(({ position, body }) => `${body.kind}@${position}`);
  }
}

export const netTx = (byte: number): Output => ({
  kind: 'net-tx',
  nic: 0,
  frame: Uint8Array.of(byte),
});
export const readRequest = (id: number): DiskRequest => ({
  kind: 'disk-request',
  ...{ disk: 0, id, operation: 'read', offset: 0, bytes: 512, data: undefined },
});

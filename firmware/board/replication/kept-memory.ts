// The memory of the machine that was here last, or what came of one in a sync-up that was cut short: the next sync-up
// begins with it and brings over what differs, whatever is in it. There is at most one, and none while a machine is
// here: never two memories at a time.
import type { TargetMemory } from './target-memory.ts';

export interface KeptMemoryOptions {
  /** Of every memory that is kept. */
  readonly bytes: number;
  /** A machine is here, with a memory of its own. */
  readonly isInUse: () => boolean;
}

export class KeptMemory {
  private readonly options: KeptMemoryOptions;
  private memory: TargetMemory | undefined;

  constructor(options: KeptMemoryOptions) {
    this.options = options;
  }

  /** Nobody writes to it any more. An older one is given back. */
  keep(memory: TargetMemory): void {
    this.drop();
    if (this.options.isInUse()) memory.close();
    else this.memory = memory;
  }

  /** It is the caller's then. One of another size is of no use, and given back. */
  take(bytes: number): TargetMemory | undefined {
    if (bytes !== this.options.bytes) this.drop();
    const { memory } = this;
    this.memory = undefined;
    return memory;
  }

  drop(): void {
    this.memory?.close();
    this.memory = undefined;
  }
}

// The record of this board's role on disk, behind a thread of its own: a write is two syncs of a disk, and a slow disk must not
// stop the tick (a board that stands still for 30 ms has to doubt itself). Writes happen in the order
// they are asked for; what fails is asked for again by the owner.
import { Worker } from 'node:worker_threads';
import type { DiskRecord } from '../../watchdog/arbiter-types.ts';
import type { Loaded } from '../../watchdog/role-record-store.ts';

export interface Written {
  readonly record: DiskRecord;
  /** Null: safe on disk. */
  readonly error: string | null;
  readonly tookMs: number;
}

export type RecordAnswer =
  | { readonly kind: 'loaded'; readonly loaded: Loaded }
  | { readonly kind: 'unreadable'; readonly error: string }
  | { readonly kind: 'counted'; readonly boot: number; readonly error: string | null }
  | ({ readonly kind: 'written' } & Written);

export type RecordOrder =
  | { readonly order: 'load' }
  | { readonly order: 'count'; readonly boot: number }
  | { readonly order: 'write'; readonly record: DiskRecord }
  | { readonly order: 'end' };

export class RoleRecord {
  onWritten: (written: Written) => void = () => {};
  onCounted: (boot: number, error: string | null) => void = () => {};
  private onLoaded: (answer: Exclude<RecordAnswer, { kind: 'written' | 'counted' }>) => void =
    () => {};
  private worker: Worker | undefined;
  private ended: Promise<void> = Promise.resolve();
  private readonly folder: string;
  private under = 0;
  private beganMs: number | null = null;
  private readonly nowMs: () => number;

  constructor(folder: string, nowMs: () => number) {
    this.folder = folder;
    this.nowMs = nowMs;
  }

  /** The record, with the start counted on disk. Rejects when the disk will not have it: ask again. */
  load(): Promise<Loaded> {
    this.worker ??= this.start();
    return new Promise((resolve, reject) => {
      this.onLoaded = (answer) => {
        if (answer.kind === 'loaded') resolve(answer.loaded);
        else reject(new Error(answer.error));
      };
      this.order({ order: 'load' });
    });
  }

  /** Since when a write has been under way, or null. */
  get busySinceMs(): number | null {
    return this.beganMs;
  }

  /** Calls this start `boot`. */
  count(boot: number): void {
    this.order({ order: 'count', boot });
  }

  write(record: DiskRecord): void {
    this.under += 1;
    this.beganMs ??= this.nowMs();
    this.order({ order: 'write', record });
  }

  /** After what was asked for is written. */
  async close(): Promise<void> {
    this.order({ order: 'end' });
    await this.ended;
  }

  private start(): Worker {
    const worker = new Worker(new URL('./role-record-worker.js', import.meta.url), {
      workerData: { folder: this.folder },
    });
    this.ended = new Promise((resolve) => worker.once('exit', () => resolve()));
    worker.on('message', (answer: RecordAnswer) => {
      if (answer.kind === 'written') this.written(answer);
      else if (answer.kind === 'counted') this.onCounted(answer.boot, answer.error);
      else this.onLoaded(answer);
    });
    return worker;
  }

  private written(answer: Written): void {
    this.under -= 1;
    this.beganMs = this.under === 0 ? null : this.nowMs();
    this.onWritten(answer);
  }

  private order(order: RecordOrder): void {
    this.worker?.postMessage(order);
  }
}

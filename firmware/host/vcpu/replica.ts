// What the local disks have finished and the log has not brought yet. A follower's guest hears of a
// completion only where the primary's did; a board that goes live tells the guest of what is left.
import type { LocalCompletion } from '../../lockstep/inputs.ts';
import type { Input } from '../../machine/contracts.ts';

export type DiskCompletion = Extract<Input, { kind: 'disk-completion' }>;

export class Replica {
  private readonly done = new Map<string, DiskCompletion>();

  arrived(completion: DiskCompletion): void {
    this.done.set(`${completion.disk}/${completion.id}`, completion);
  }

  /** What the log's completion is checked against; asked once after it is done. */
  completion(disk: number, id: number): LocalCompletion {
    const key = `${disk}/${id}`;
    const done = this.done.get(key);
    if (done === undefined) return { state: 'pending' };
    this.done.delete(key);
    if (done.status === 'ok') return { state: 'done', data: done.data };
    return { state: 'failed', why: `request ${id} of disk ${disk} ended with ${done.status} here` };
  }

  /** The guest that asked for them is gone. */
  clear(): void {
    this.done.clear();
  }

  /** In order of arrival. */
  takeAll(): DiskCompletion[] {
    const all = [...this.done.values()];
    this.done.clear();
    return all;
  }
}

// What the local disks have finished and the log has not brought yet. A follower's guest hears of a
// completion only where the primary's did; a board that goes live tells the guest of what is left.

import type { DiskRequest, Input } from '../../devices/contracts.ts';
import type { LocalCompletion } from '../../lockstep/inputs.ts';

export type DiskCompletion = Extract<Input, { kind: 'disk-completion' }>;

export class Replica {
  /** Requests this machine has under way, by its own account. */
  private readonly open = new Set<string>();
  private readonly done = new Map<string, DiskCompletion>();

  /** `requests`: under way already. */
  constructor(requests: readonly DiskRequest[]) {
    for (const request of requests) this.issued(request);
  }

  issued({ disk, id }: DiskRequest): void {
    this.open.add(`${disk}/${id}`);
  }

  arrived(completion: DiskCompletion): void {
    this.done.set(`${completion.disk}/${completion.id}`, completion);
  }

  /** What the log's completion is checked against; asked once after it is no longer pending. */
  completion(disk: number, id: number): LocalCompletion {
    const key = `${disk}/${id}`;
    if (!this.open.has(key)) {
      return { state: 'failed', why: `request ${id} of disk ${disk} is not under way here` };
    }
    const done = this.done.get(key);
    if (done === undefined) return { state: 'pending' };
    this.open.delete(key);
    this.done.delete(key);
    if (done.status === 'ok') return { state: 'done', data: done.data };
    return { state: 'failed', why: `request ${id} of disk ${disk} ended with ${done.status} here` };
  }

  /** In order of arrival. */
  takeAll(): DiskCompletion[] {
    const all = [...this.done.values()];
    this.done.clear();
    return all;
  }
}

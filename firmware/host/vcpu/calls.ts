// Questions to a thread and their answers. Every promise settles: by its answer, by a refusal, or
// when the thread is gone; and one that nobody waits for never becomes an unhandled rejection.
import type { Answers, Ask, Refusal, VcpuErrorCode } from './messages.ts';

/** A question to a vCPU thread was refused, in words. */
export class VcpuError extends Error {
  readonly code: VcpuErrorCode;

  constructor({ code, message }: Refusal) {
    super(message);
    this.name = 'VcpuError';
    this.code = code;
  }
}

const ENDED: Refusal = { code: 'E_VCPU_ENDED', message: 'the vCPU thread has ended' };

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: VcpuError) => void;
}

export class Calls {
  private readonly post: (id: number, ask: Ask) => void;
  private readonly waiting = new Map<number, Waiting>();
  private lastId = 0;
  private isClosed = false;

  constructor(post: (id: number, ask: Ask) => void) {
    this.post = post;
  }

  ask<Kind extends Ask['kind']>(ask: Ask & { kind: Kind }): Promise<Answers[Kind]> {
    const id = ++this.lastId;
    const answer = new Promise<Answers[Kind]>((resolve, reject) => {
      if (this.isClosed) reject(new VcpuError(ENDED));
      else this.waiting.set(id, { resolve, reject });
    });
    answer.catch(() => {});
    if (!this.isClosed) this.post(id, ask);
    return answer;
  }

  answer(id: number, value: Answers[keyof Answers]): void {
    this.taken(id)?.resolve(value as never);
  }

  refuse(id: number, refusal: Refusal): void {
    this.taken(id)?.reject(new VcpuError(refusal));
  }

  /** The thread is gone: nothing more is answered. */
  close(): void {
    this.isClosed = true;
    for (const { reject } of this.waiting.values()) reject(new VcpuError(ENDED));
    this.waiting.clear();
  }

  private taken(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    return waiting;
  }
}

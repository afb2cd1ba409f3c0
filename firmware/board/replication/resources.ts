// What the guest lives on: kernel, disks, world. All of it or nothing, again and again until it is there:
// a board without a disk is a board, and says what it lacks. What is lost later is said as well, and that it is back.

export interface ResourcesParts {
  /** All or nothing; throws one clear line. */
  readonly open: () => Promise<void>;
  readonly opened: () => void;
  /** What was open and is lost, in words; null: nothing. */
  readonly lost: () => string | null;
  readonly tell: (code: 'RESOURCE-MISSING' | 'RESOURCE-BACK', text: string) => void;
  readonly nowMs: () => number;
}

const RETRY_MS = 500;
/** A first look that takes longer is said to. */
const FIRST_LOOK_MS = 2_000;

export class Resources {
  private readonly parts: ResourcesParts;
  private beganMs = Number.POSITIVE_INFINITY;
  private isOpen = false;
  /** In words; null: nothing, or not known yet. */
  private lacks: string | null = null;
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> = Promise.resolve();
  private isStopped = false;

  constructor(parts: ResourcesParts) {
    this.parts = parts;
  }

  start(): void {
    this.beganMs = this.parts.nowMs();
    this.looking = this.look();
  }

  /** The guest can run. */
  get areThere(): boolean {
    return this.isOpen;
  }

  /** In words; null: all is there, or it is just being looked for. */
  get missing(): string | null {
    if (this.isOpen) return this.parts.lost();
    if (this.lacks !== null) return this.lacks;
    const isLate = this.parts.nowMs() - this.beganMs > FIRST_LOOK_MS;
    return isLate ? 'what the guest lives on takes long to open' : null;
  }

  /** When the look that is under way is over. */
  looked(): Promise<void> {
    return this.looking;
  }

  /** Often: tells what was lost since, and what is back. */
  watch(): void {
    if (!this.isOpen || this.isStopped) return;
    const lost = this.parts.lost();
    if (lost === this.lacks) return;
    this.lacks = lost;
    if (lost === null) this.tellBack();
    else this.parts.tell('RESOURCE-MISSING', lost);
  }

  private tellBack(): void {
    this.parts.tell('RESOURCE-BACK', 'the guest has all it needs');
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.looking;
  }

  private async look(): Promise<void> {
    const { open, opened, tell } = this.parts;
    try {
      await open();
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.lacks) tell('RESOURCE-MISSING', message);
      this.lacks = message;
      if (this.isStopped) return;
      this.timer = setTimeout(() => {
        this.looking = this.look();
      }, RETRY_MS);
      return;
    }
    if (this.isStopped) return;
    const isBack = this.lacks !== null;
    this.lacks = null;
    this.isOpen = true;
    opened();
    if (isBack) this.tellBack();
  }
}

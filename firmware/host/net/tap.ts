// A TAP interface as a network cable. One that was deleted is taken again when somebody has made it anew.
import { HostTap } from '../tap.ts';
import type { NetLink, NetLinkEvents } from './link.ts';

/** How soon a TAP that was made anew, or set down, is noticed. One that is deleted says so itself. */
const LOOK_MS = 250;

/** Throws a TapError: one clear line. */
export function tapLink(name: string, events: NetLinkEvents): NetLink {
  const link = new TapLink(name, events);
  link.take();
  return link;
}

class TapLink implements NetLink {
  readonly where: string;
  trouble: string | null = null;
  private readonly events: NetLinkEvents;
  private tap: HostTap | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(name: string, events: NetLinkEvents) {
    this.where = name;
    this.events = events;
  }

  /** Throws where it cannot be had. */
  take(): void {
    this.tap = this.open();
  }

  start(): void {
    this.tap?.start();
    this.timer = setInterval(() => this.look(), LOOK_MS);
    this.timer.unref();
  }

  send(frame: Uint8Array): void {
    this.tap?.send(frame);
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    this.tap?.close();
    this.tap = undefined;
  }

  private open(): HostTap {
    return new HostTap({
      name: this.where,
      onFrames: this.events.onFrames,
      onGone: () => this.lost(),
    });
  }

  private lost(): void {
    this.tap?.close();
    this.tap = undefined;
    this.is(`TAP ${this.where} was deleted`);
  }

  private look(): void {
    try {
      if (this.tap === undefined) {
        const tap = this.open();
        tap.start();
        this.tap = tap;
      }
      this.is(this.tap.info().isUp ? null : `TAP ${this.where} is down`);
    } catch (error) {
      // It may go in the moment in which it is looked at, and come back as somebody else's.
      if (this.tap !== undefined) this.lost();
      else if ((error as { code?: unknown }).code !== 'E_TAP_MISSING')
        this.is((error as Error).message);
    }
  }

  private is(trouble: string | null): void {
    if (trouble === this.trouble) return;
    this.trouble = trouble;
    this.events.onTrouble(trouble ?? `TAP ${this.where} is there again`);
  }
}

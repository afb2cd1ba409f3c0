// Is the primary host application online: its retained STATE message, `{"online":true,"timestamp":ms}`
// (Sparkplug 3.0, chapter 5). A message older than one already heard says nothing. What was heard belongs
// to one connection: on another server, or after the host came back, another one counts. One object each.
const STATE_BYTES_MAX = 1024;

export class HostWatch {
  readonly topic: string;
  readonly hostId: string;
  /** Unknown: it has said nothing on this connection. */
  state: 'unknown' | 'online' | 'offline' = 'unknown';
  private latestMs = Number.NEGATIVE_INFINITY;

  constructor(hostId: string) {
    this.hostId = hostId;
    this.topic = `spBv1.0/STATE/${hostId}`;
  }

  /** False: not a state message, or an old one. */
  hear(bytes: Uint8Array): boolean {
    const state = bytes.length <= STATE_BYTES_MAX ? parse(bytes) : undefined;
    if (state === undefined || state.timestamp < this.latestMs) return false;
    this.latestMs = state.timestamp;
    this.state = state.online ? 'online' : 'offline';
    return true;
  }

  /** Why there is no birth here. */
  get words(): string {
    const { hostId, state } = this;
    return `the primary host "${hostId}" ${state === 'offline' ? 'is offline here' : 'is not here'}`;
  }
}

function parse(bytes: Uint8Array): { online: boolean; timestamp: number } | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    if (typeof value !== 'object' || value === null) return undefined;
    const { online, timestamp } = value as Record<string, unknown>;
    if (typeof online !== 'boolean' || typeof timestamp !== 'number') return undefined;
    return Number.isFinite(timestamp) ? { online, timestamp } : undefined;
  } catch {
    return undefined;
  }
}

// How the guest has set its serial lines, as it last said. A board that goes on with the guest tells its own
// lines: the guest itself says it only when it changes something.
import type { Output } from '../../devices/contracts.ts';

export type LineSettings = Extract<Output, { kind: 'serial-line' }>;

export class GuestLines {
  private readonly lines = new Map<LineSettings['port'], LineSettings>();

  note(line: LineSettings): void {
    this.lines.set(line.port, line);
  }

  /** What another board heard before; what was heard here is newer. */
  merge(lines: readonly LineSettings[]): void {
    for (const line of lines) if (!this.lines.has(line.port)) this.lines.set(line.port, line);
  }

  forget(): void {
    this.lines.clear();
  }

  /** One for each port that was set. */
  all(): LineSettings[] {
    return [...this.lines.values()];
  }
}

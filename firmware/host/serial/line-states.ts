// The modem lines of a guest's ports as the host last told them. A guest that starts, starts over or goes on
// here from another board knows nothing of this host's lines: it is told them again.
import type { Input } from '../../devices/contracts.ts';

type LineInput = Extract<Input, { kind: 'serial-line' }>;

export class LineStates {
  private readonly lines = new Map<LineInput['port'], LineInput>();

  note(inputs: readonly Input[]): void {
    for (const input of inputs) if (input.kind === 'serial-line') this.lines.set(input.port, input);
  }

  /** One for each port of which something was told. */
  all(): Input[] {
    return [...this.lines.values()];
  }
}

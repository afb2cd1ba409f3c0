// A pseudo-terminal as a guest's serial line.
import { HostError } from '../errors.ts';
import type { SerialLine, SerialLineEvents } from './line.ts';

export function ptyLine(_events: SerialLineEvents): SerialLine {
  throw new HostError('E_PTY', 'not yet');
}

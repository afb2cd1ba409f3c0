// What several tests do in the arbiter's place, and look at afterwards.
import type { TestBoard } from './rig.ts';

/** As the arbiter does when the other board is gone. */
export function alone(board: TestBoard): void {
  board.is('soloing', { grant: null });
  board.replication.syncStop();
  board.is('solo');
  board.replication.gate('open');
}

/** Of the newest sync-up that came to its end there. */
export const lastSync = (board: TestBoard) => board.replication.leading.lastSync!;

// The arbiter's actions that replication carries out.
import type { Action } from '../../watchdog/arbiter-types.ts';
import type { LoopAction, Replication } from './replication/types.ts';

export function carryOutByReplication(
  replication: Replication,
  action: Exclude<Action, LoopAction>,
): void {
  switch (action.do) {
    case 'gate':
      replication.gate(action.gate);
      break;
    case 'boot-guest':
      replication.bootGuest();
      break;
    case 'go-live':
      replication.goLive();
      break;
    case 'pause-guest':
      replication.pauseGuest();
      break;
    case 'resume-guest':
      replication.resumeGuest();
      break;
    case 'discard-guest':
      replication.discardGuest();
      break;
    case 'sync-source':
      replication.syncSource(action.partner);
      break;
    case 'sync-target':
      replication.syncTarget(action.session);
      break;
    case 'sync-stop':
      replication.syncStop();
      break;
    case 'mark-log':
      replication.markLog(action.mark, action.partner);
      break;
    case 'follow':
      replication.follow(action.boot, action.session);
      break;
    case 'announce-guest':
      replication.announceGuest();
      break;
  }
}

// The arbiter's actions that are the hands' to carry out.
import type { Action } from '../../watchdog/arbiter-types.ts';
import type { BrainAction, Hands } from './hands/types.ts';

export function carryOutByHands(hands: Hands, action: Exclude<Action, BrainAction>): void {
  switch (action.do) {
    case 'gate':
      hands.gate(action.gate);
      break;
    case 'boot-guest':
      hands.bootGuest();
      break;
    case 'go-live':
      hands.goLive();
      break;
    case 'pause-guest':
      hands.pauseGuest();
      break;
    case 'resume-guest':
      hands.resumeGuest();
      break;
    case 'discard-guest':
      hands.discardGuest();
      break;
    case 'sync-source':
      hands.syncSource(action.partner);
      break;
    case 'sync-target':
      hands.syncTarget(action.session);
      break;
    case 'sync-stop':
      hands.syncStop();
      break;
    case 'mark-log':
      hands.markLog(action.mark, action.partner);
      break;
    case 'follow':
      hands.follow(action.boot, action.session);
      break;
    case 'announce-guest':
      hands.announceGuest();
      break;
  }
}

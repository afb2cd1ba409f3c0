// Every alarm a board can raise: its stable code, how serious it is, what ends it, and the words people
// read when there are none closer to the case. docs/alarms.md has a section for each.
import type { Severity } from '../event-codes.ts';

/**
 * state: there while its cause lasts, and gone with it, acknowledged or not;
 * event: something happened that a person should know of; there until acknowledged.
 */
export type AlarmKind = 'state' | 'event';

interface AlarmWords {
  readonly kind: AlarmKind;
  readonly severity: Severity;
  readonly words: string;
}

const state = (severity: Severity, words: string): AlarmWords => ({
  kind: 'state',
  severity,
  words,
});
const event = (severity: Severity, words: string): AlarmWords => ({
  kind: 'event',
  severity,
  words,
});

export const ALARM_CODES = {
  // The service itself.
  'GUEST-DOWN': state('critical', 'the guest does not run'),
  ISOLATED: state('critical', 'this board hears nobody and holds its outputs'),
  'NOBODY-LEADS': state('critical', 'no board serves: an operator must say which one may'),
  'NOT-REDUNDANT': state('error', 'one more fault would stop the guest'),
  'TAKEN-OVER': event('warning', 'this board had to take over: the other one failed'),
  MAINTENANCE: state('warning', 'this board takes no part, by the operator'),

  // Ways to the other board.
  'PATH-LOG': state('warning', 'nothing is heard on the log link'),
  'PATH-SERIAL': state('warning', 'nothing is heard on the serial line'),
  'PATH-FRONT': state('warning', 'nothing is heard on the front LAN'),
  'PATH-ONE-WAY': state('warning', 'the other board does not hear this one on a path'),
  'LINK-REFUSED': state('error', 'the log link cannot be had'),
  WITNESS: state('warning', 'the gateway does not answer'),
  NOISE: state('warning', 'frames come that are damaged or not from the other board'),
  'PLANT-STORM': state('warning', 'the plant LAN floods the guest: frames are dropped before it'),

  // Keeping in step.
  'SYNC-REFUSED': state('error', 'the boards do not fit together'),
  'SYNC-FORBIDDEN': state('warning', 'sync-up is forbidden: a board that returns waits'),
  'SYNC-PAUSED': state('warning', 'the other board does not stay in step: sync-up waits'),
  'BACKUP-SLOW': state('warning', 'the guest is slowed so that the backup can follow'),
  'BACKUP-DROPPED': event('error', 'the backup could not keep up and was dropped'),
  DIVERGED: event('error', 'the backup went another way than the primary'),
  'DISKS-DIFFERED': event('error', 'the disks of the boards were not the same where they must be'),
  'LOG-DAMAGED': event('error', 'the log stream was not as it must be'),
  'OUTPUT-HELD': state('warning', 'output waits long for the other board'),

  // Whoever watches.
  'SCADA-UNREACHED': state('warning', 'SCADA is not told of this board'),
  'SCADA-UNSAVED': state('warning', 'the number of births to SCADA cannot be kept on disk'),
  'CLOCK-UNSET': state('warning', 'no time server has set the clock for long'),

  // This board.
  UNFIT: state('error', 'this board is not fit to lead'),
  'DISK-FAILED': state('error', 'a disk of the guest fails'),
  'RECORD-FAILED': state('critical', 'the record of this board cannot be written'),
  'RECORD-SLOW': state('warning', 'the disk of the record is slow'),
  'RECORD-DOUBTED': event('error', 'the record of this board could not be relied on at its start'),
  'WATCHDOG-OFF': state('error', 'no watchdog guards this board'),
  'WATCHDOG-BIT': event('warning', 'the watchdog has reset this board'),
  'WATCHDOG-MUTE': event('critical', 'the watchdog did not reset this board when it should have'),
  'UNCLEAN-START': event('warning', 'the last run of this board did not end in order'),
  'SUPERVISOR-GONE': state('error', 'the supervisor of this board is gone'),
  'SLOT-LEFT': state('error', 'this machine did not start from the slot it should have started'),
  'NOT-FIRST': state('warning', 'this board has no right to go before other programs'),
  LIMPING: state('error', 'this board limps: it stands still or lets outputs wait too much'),
  STALLS: state('warning', 'this board stands still now and then'),
  'CONFIG-TRIAL': state('warning', 'a configuration is on trial and goes unless it is confirmed'),
  'CONFIG-UNUSED': state('warning', 'this board runs with another configuration than its file'),
  'CONTROL-CLOSED': state('error', 'nobody can ask this board: a control socket cannot be had'),
  'ALARMS-UNSAVED': state('warning', 'the history of alarms cannot be written'),
} as const satisfies Readonly<Record<string, AlarmWords>>;

export type AlarmCode = keyof typeof ALARM_CODES;

export function isAlarmCode(code: unknown): code is AlarmCode {
  return typeof code === 'string' && Object.hasOwn(ALARM_CODES, code);
}

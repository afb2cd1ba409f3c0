// Every event a board can tell of: its stable code, how serious it is, and the words people read when
// the event itself has none. Codes are for machines (SCADA, log filters) and never change their meaning.
export const SEVERITIES = ['info', 'warning', 'error', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];

interface CodeWords {
  readonly severity: Severity;
  readonly words: string;
  /** Comes again and again while one cause is there: told once, and then rarely. */
  readonly lasts?: true;
}

const info = (words: string): CodeWords => ({ severity: 'info', words });
const warning = (words: string): CodeWords => ({ severity: 'warning', words });
const error = (words: string): CodeWords => ({ severity: 'error', words });
const critical = (words: string): CodeWords => ({ severity: 'critical', words });
const lasting = (code: CodeWords): CodeWords => ({ ...code, lasts: true });

export const EVENT_CODES = {
  // The board itself.
  'BOARD-STARTED': info('the board has started'),
  'BOARD-STOPPING': info('the board stops'),
  'BOARD-STOPPED': info('the board has stopped in order'),
  'BOARD-DIED': error('the board process ended; it is started again'),
  'BOARD-MUTE': error('the board process gave no sign of life and is ended'),
  'EVENTS-UNSAVED': warning('the file of events cannot be written'),
  'BOARD-GIVEN-UP': critical('the board dies again and again: left to the hardware watchdog'),
  'SUPERVISOR-GONE': error(
    'the supervisor of this board is gone: its death would be told by nobody',
  ),
  'BOARD-NOT-FIRST': warning('the board has no right to go before other programs, and may stall'),
  'SLOT-LEFT': error('this machine did not start from the slot it should have'),
  'BOARD-STALLED': lasting(warning('the board stood still, as if asleep')),
  'HEALTH-BAD': error('this board is not fit to lead'),
  'HEALTH-WELL': info('this board is fit again'),
  'LIMP-BEGUN': error(
    'this board limps: it stands still, or its outputs wait, too much of the time',
  ),
  'LIMP-OVER': info('this board does not limp any more'),
  'SYNC-PAUSED': warning('the peer did not stay in step: the next sync-up waits'),
  'RESET-ASKED': critical('the watchdog is left to reset this board'),
  'WATCHDOG-ARMED': info('the watchdog is armed'),
  'WATCHDOG-REFUSED': error('there is no watchdog to rely on'),
  'WATCHDOG-BIT': warning('the last start was a reset by the watchdog'),
  'WATCHDOG-MUTE': lasting(critical('the watchdog did not reset this board when it should have')),
  'CONFIG-CHANGED': info('the configuration file is another one: it counts from the next start on'),
  'CONFIG-TRIAL': warning(
    'a configuration is on trial: the one before returns unless it is confirmed',
  ),
  'CONFIG-RETURNED': warning('the configuration before the trial is in force again'),
  'CONFIG-TROUBLE': lasting(error('the configuration file cannot be looked after')),
  'RESTART-ASKED': info('the board stops and starts again with its configuration'),
  'RECORD-LOADED': info('the record of this board is read'),
  'RECORD-TROUBLE': error('the record of this board cannot be relied on'),
  'RECORD-WRITTEN': info('the record is safe on disk'),
  'RECORD-SLOW': lasting(warning('the disk of the record is slow: every takeover waits for it')),
  'START-RECOUNTED': warning(
    'the peer had heard of a later start of this board, whose record is lost or old: its number is above that now',
  ),
  'RECORD-FAILED': lasting(critical('the record cannot be written')),

  // Who leads, as watchdog/arbiter.ts decides; one code a role.
  'ROLE-SEEKING': info('no machine in memory, looks for the peer'),
  'ROLE-TARGET': info('follows the primary, not in step yet'),
  'ROLE-BACKUP': info('in step as backup'),
  'ROLE-PROMOTING': warning('takes the reign'),
  'ROLE-SOLO': warning('leads alone, without redundancy'),
  'ROLE-SOURCE': info('leads and brings the peer into step'),
  'ROLE-GRANTING': info('grants the peer the right to take over'),
  'ROLE-PROTECTED': info('leads, the peer is in step'),
  'ROLE-YIELDING': warning('the log link is lost, asks the peer to give up its claim'),
  'ROLE-SOLOING': warning('goes on alone'),
  'ROLE-LEAVING': info('hands over'),
  'ROLE-ISOLATED': critical('hears nobody, holds its outputs'),
  'ROLE-FENCED': error('the peer has a newer reign, throws its machine away'),
  'ROLE-MAINTENANCE': info('takes no part, by the operator'),
  'ROLE-STOPPED': info('stopped by the operator'),
  'PAIR-STATE': info('the state of the pair changed'),
  'REDUNDANCY-LOST': error('one more fault would stop the guest'),
  'REDUNDANCY-BACK': info('both boards are in step again'),
  'TAKEOVER-BEGUN': warning('takes over from the peer'),
  'TAKEOVER-DONE': warning('the guest goes on here'),
  'HANDOVER-BEGUN': info('the guest is paused for the hand-over'),
  'HANDOVER-DONE': info('the guest goes on here, handed over'),

  // Ways to the peer.
  'PATH-SILENT': warning('nothing is heard on this path'),
  'PATH-TALKS': info('the peer is heard on this path'),
  'PATH-TROUBLE': lasting(warning('this path cannot be used')),
  'WITNESS-SILENT': warning('the gateway does not answer'),
  'WITNESS-ANSWERS': info('the gateway answers'),
  'FRAMES-REJECTED': lasting(warning('frames that are not the peer’s, or damaged')),
  'PEER-SEEN': info('a start of the peer is heard for the first time'),
  'PEER-DEAD': warning('the supervisor of the peer tells that it died'),
  'LINK-UP': info('the log link stands'),
  'LINK-DOWN': warning('the log link is down'),
  'LINK-REFUSED': lasting(error('the log link cannot be had')),
  'LOG-PATH-TAKEN': warning('the log goes another way to the peer'),
  'LOG-PATH-LOST': warning('one of the ways of the log is lost'),
  'LOG-PATH-BACK': info('one of the ways of the log is there again'),

  // What the operator asked for.
  'REQUEST-TAKEN': info('the operator asks'),
  'REQUEST-REFUSED': warning('refused'),
  'CONTROL-CLOSED': lasting(
    error('a control socket cannot be had: nobody can ask this board there'),
  ),
  'CONTROL-OPENED': info('the control sockets are open'),
  'REQUEST-DONE': info('what the operator asked for is done'),
  'REQUEST-FAILED': error('what the operator asked for did not come about'),
  'CONTROL-OWN-USER': warning('a control socket is for the user of the board alone'),
  'CLIENT-DROPPED': lasting(warning('a reader of events was too slow')),

  // Alarms, as firmware/board/alarms has them.
  'ALARM-RAISED': warning('an alarm is raised'),
  'ALARM-CLEARED': info('an alarm is cleared'),
  'ALARM-ACKED': info('an alarm is acknowledged'),
  'ALARMS-DAMAGED': warning('the history of alarms was not as it was written'),

  // The guest and its log, told by replication.
  'GUEST-STARTED': info('the guest starts'),
  'GUEST-LIVE': info('the guest runs here'),
  'GUEST-REBOOTED': info('the guest started again'),
  'GUEST-OFF': warning('the guest switched itself off'),
  'GUEST-FAILED': critical('the guest cannot go on'),
  'GUEST-NOTICE': info('about the guest'),
  'GUEST-ANNOUNCED': info('the plant network is told where the guest is'),
  'RESOURCE-MISSING': lasting(
    error('something the guest needs is not there: this board cannot lead'),
  ),
  'RESOURCE-BACK': info('the guest has all it needs again'),
  'DISK-TROUBLE': lasting(error('a disk of the guest fails')),
  'DISK-WELL': info('a disk of the guest is well again'),
  'DISK-DIFFERS': error('the disks of the boards are not the same where they must be'),
  'DISK-COMPARED': info('all disks were compared while in step'),
  'SYNC-REFUSED': lasting(error('the boards do not fit together')),
  'SYNC-BEGUN': lasting(info('sync-up begins')),
  'SYNC-PHASE': info('sync-up goes on'),
  'SYNC-STOPPED': lasting(warning('sync-up ended before it was complete')),
  'SYNC-DONE': info('the peer has everything'),
  'LAG-SLOWED': warning('the guest is slowed so that the backup can follow'),
  'LAG-WELL': info('the backup keeps up'),
  'LAG-DROPPED': error('the backup could not keep up and was dropped'),
  DIVERGED: error('the backup went another way than the primary; it is brought into step again'),
  'LOG-TROUBLE': error('the log stream was not as it must be'),
} as const satisfies Readonly<Record<string, CodeWords>>;

export type EventCode = keyof typeof EVENT_CODES;

export function lasts(code: EventCode): boolean {
  return (EVENT_CODES[code] as CodeWords).lasts === true;
}

const MAIN = /^(ROLE|PAIR|REDUNDANCY|TAKEOVER|HANDOVER|ALARM|BOARD|WATCHDOG|CONFIG|REQUEST|GUEST)-/;

/** The story of the board without its details: what is kept longest. */
export function isMain(code: EventCode): boolean {
  const { severity } = EVENT_CODES[code];
  return severity === 'error' || severity === 'critical' || (MAIN.test(code) && !lasts(code));
}

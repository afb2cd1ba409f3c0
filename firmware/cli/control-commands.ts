// The commands that ask a running board, with the words of the help text.
export const CONTROL_COMMANDS = {
  status: 'show the board: role, pair, paths, guest; may it be switched off?',
  events: 'show what happened on the board, and what happens',
  alarms: 'show what is wrong on the board, and what was',
  ack: 'acknowledge an alarm, or all',
  'switch-over': 'make the other board the primary, without loss',
  'test-failover': 'let the watchdog reset this primary, to see the takeover',
  maintenance: 'on: take this board out of the pair; off: back in',
  'sync-up': 'allow or forbid bringing the other board into step',
  restart: 'start this board anew with its configuration; the other one serves on',
  stop: 'stop this board; the other one serves on',
  'force-lead': 'lead from this disk, whatever the other board has',
} as const;

export type ControlCommand = keyof typeof CONTROL_COMMANDS;

// The commands that ask a running board, with the words of the help text.
import { OPERATOR_REQUESTS, type RequestName } from '../board/operator-requests.ts';

const READING = {
  status: 'show the board: role, pair, paths, guest; may it be switched off?',
  events: 'show what happened on the board, and what happens',
  alarms: 'show what is wrong on the board, and what was',
  ack: 'acknowledge an alarm, or all',
} as const;

export type ControlCommand = keyof typeof READING | RequestName;

export const CONTROL_COMMANDS = {
  ...READING,
  ...Object.fromEntries(Object.entries(OPERATOR_REQUESTS).map(([name, { help }]) => [name, help])),
} as Readonly<Record<ControlCommand, string>>;

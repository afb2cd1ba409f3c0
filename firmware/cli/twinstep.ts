#!/usr/bin/env node
// The command `twinstep`. Each subcommand is a file beside this one; here is only the list of them.
import { doctor } from './doctor.ts';
import { version } from './version.ts';

const HELP = `twinstep ${version()}: two ordinary x86 PCs become one machine that does not stop

usage: twinstep COMMAND [OPTIONS]

  doctor     every path, device and limit of this board, and what to do
  help       this text
  version    the version alone
`;

const [command = 'help', ...args] = process.argv.slice(2);
if (command === 'help' || command === '--help' || command === '-h') {
  process.stdout.write(HELP);
} else if (command === 'version' || command === '--version') {
  console.log(version());
} else if (command === 'doctor') {
  process.exitCode = await doctor(args);
} else {
  console.error(`twinstep: unknown command "${command}"; "twinstep help" lists them`);
  process.exitCode = 2;
}

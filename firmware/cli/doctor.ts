// `twinstep doctor`: every path, device and limit of this board, with a verdict and what to do.
import { ConfigError, readConfig } from '../board/config/load.ts';
import { readArguments } from './arguments.ts';
import { type DoctorOptions, runChecks } from './doctor-checks.ts';
import type { Finding } from './doctor-finding.ts';
import { UsageError } from './usage.ts';

export const DOCTOR_HELP = `usage: twinstep doctor [OPTIONS]

  --config FILE      of the board; what is given here besides goes before it
  --state DIR        folder of the role record
  --key FILE         pairing key
  --serial PORT      heartbeat line, for example /dev/ttyS1
  --baud N           its rate (115200)
  --log IFACE[,IFACE] interfaces of the log link
  --front IFACE      interface of the plant LAN
  --gateway ADDRESS  witness on the plant LAN
  --watchdog PATH    hardware watchdog (/dev/watchdog)
  --commission       land the hardware engine on 5,000 targets (some seconds)
  --json             for machines

Ends with 0 when nothing fails, 1 otherwise. Does not arm the watchdog and changes no role.
`;

export async function doctor(args: string[]): Promise<number> {
  const values = parse(args);
  if (values.help) {
    process.stdout.write(DOCTOR_HELP);
    return 0;
  }
  const given: Given = { ...(await fromConfig(values.config)), ...values };
  const baud = Number(given.baud ?? BAUD);
  if (!Number.isInteger(baud) || baud <= 0) throw new UsageError('--baud needs a number');
  const host = { sys: '/sys', proc: '/proc', watchMs: 1_000 };
  const options: DoctorOptions = { ...given, ...host, baud, watchdog: given.watchdog ?? WATCHDOG };
  const findings = await runChecks(options);
  process.stdout.write(values.json ? `${JSON.stringify(findings, null, 2)}\n` : asText(findings));
  return findings.some(({ verdict }) => verdict === 'fail') ? 1 : 0;
}

function parse(args: string[]) {
  const { values } = readArguments({
    args,
    options: {
      config: { type: 'string' },
      state: { type: 'string' },
      key: { type: 'string' },
      serial: { type: 'string' },
      baud: { type: 'string' },
      log: { type: 'string' },
      front: { type: 'string' },
      gateway: { type: 'string' },
      watchdog: { type: 'string' },
      commission: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  return values;
}

type Given = {
  readonly [Name in
    | 'state'
    | 'key'
    | 'serial'
    | 'baud'
    | 'log'
    | 'front'
    | 'gateway'
    | 'watchdog']?: string;
};

const BAUD = '115200';
const WATCHDOG = '/dev/watchdog';

/** Throws a ConfigError: what is wrong with the file comes first. */
async function fromConfig(file: string | undefined): Promise<Given> {
  if (file === undefined) return {};
  const { config, problems } = await readConfig(file);
  if (problems.length > 0) throw new ConfigError(file, problems);
  const { serial, front, watchdog } = config;
  return {
    state: config.stateDir,
    key: config.pairingKeyFile,
    ...(serial === null ? {} : { serial: serial.port, baud: String(serial.baud) }),
    log: config.log.interfaces.join(','),
    front: front.interface,
    ...(front.gateway === null ? {} : { gateway: front.gateway }),
    watchdog: watchdog.device,
  };
}

export function asText(findings: readonly Finding[]): string {
  const mark = { ok: 'ok  ', warn: 'WARN', fail: 'FAIL' };
  const lines = findings.flatMap(({ area, verdict, found, todo }) => [
    `${mark[verdict]}  ${area.padEnd(13)} ${found}`,
    ...(todo === '' ? [] : [`${' '.repeat(20)}to do: ${todo}`]),
  ]);
  const count = (of: Finding['verdict']) => findings.filter(({ verdict }) => verdict === of).length;
  const fails = count('fail');
  const sum =
    fails > 0 ? `${fails} to mend before this board can protect` : 'nothing stands in the way';
  return `${lines.join('\n')}\n\n${count('ok')} ok, ${count('warn')} warnings, ${fails} failed: ${sum}\n`;
}

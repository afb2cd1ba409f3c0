// `twinstep record`: a guest as `twinstep guest` runs it, with its log kept in a file.
import { closeSync, openSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { HostError, systemWords } from '../host/errors.ts';
import { sha256OfFile } from '../host/identity.ts';
import { logSummary } from '../lockstep/log-file.ts';
import { parseStrictly } from './arguments.ts';
import { runGuest } from './guest.ts';
import { GUEST_OPTIONS, GUEST_OPTIONS_HELP, guestOptions } from './guest-options.ts';
import { EXIT, UsageError } from './usage.ts';

const HELP = `usage: twinstep record --log FILE --kernel FILE [OPTIONS]

Runs a guest and writes down everything that enters it, so that "twinstep replay FILE" makes it again,
instruction by instruction. A replay needs the disks as they are now: keep a copy of each. A reset ends
the recording.

  --log FILE           the log; must not exist yet
${GUEST_OPTIONS_HELP}`;

/** Of virtual time; a digest costs well below a millisecond. */
const DIGEST_INTERVAL_NS = 250_000_000n;

export async function recordCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(HELP);
    return EXIT.ok;
  }
  const { log, ...values } = parseStrictly(args, {
    ...GUEST_OPTIONS,
    log: { type: 'string' },
  }) as Parameters<typeof guestOptions>[0] & { log?: string };
  if (log === undefined) throw new UsageError('--log FILE is missing');
  const options = { ...guestOptions(values, hostname()), rebootsOnReset: false };
  const file = new LogFile(log);
  try {
    const code = await runGuest(options, {
      digestIntervalNs: DIGEST_INTERVAL_NS,
      onLog: (bytes) => file.append(bytes),
    });
    const disks = await Promise.all(options.disks.map(({ path }) => sha256OfFile(path)));
    file.append(logSummary({ disks }));
    return code;
  } finally {
    file.close();
  }
}

/** Appends at once: what was handed over survives the end of this process. */
class LogFile {
  private readonly path: string;
  private readonly fd: number;

  constructor(path: string) {
    this.path = path;
    this.fd = this.told(() => openSync(path, 'wx'));
  }

  append(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) at += this.told(() => writeSync(this.fd, bytes, at));
  }

  close(): void {
    closeSync(this.fd);
  }

  private told<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw new HostError('E_FILE', `log ${this.path}: ${systemWords(error)}`);
    }
  }
}

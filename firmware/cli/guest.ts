// `twinstep guest`: one unprotected guest in the foreground.
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { HostError, systemWords } from '../host/errors.ts';
import { Guest, type GuestRecord } from '../host/guest.ts';
import { type EndReason, VcpuStartError } from '../host/vcpu/vcpu.ts';
import { GUEST_OPTIONS_HELP, type GuestOptions, parseGuestOptions } from './guest-options.ts';
import { EXIT, exitCodeOfGuest } from './usage.ts';

const HELP = `usage: twinstep guest --kernel FILE [OPTIONS]

Runs one guest, unprotected, in this terminal. Ctrl-] leaves.

${GUEST_OPTIONS_HELP}
Ends with 0 when the guest ended in order or you left, 1 when it could not be started, 2 for a command
line that makes no sense, 3 after a triple fault, 32 + N (at most 95) when the guest wrote N > 0 to its
debug exit port, 128 + N after signal N.
`;

const MIB = 1 << 20;
const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 } as const;

/** The exit code. Throws what `twinstep.ts` turns into words. */
export async function guestCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(HELP);
    return EXIT.ok;
  }
  return await runGuest(parseGuestOptions(args, hostname()), undefined);
}

/** Runs a guest in the foreground, to its end; the exit code. */
export async function runGuest(
  options: GuestOptions,
  record: GuestRecord | undefined,
): Promise<number> {
  const spec = await guestSpec(options);
  // Before anything is opened: a terminal must come back from its raw mode.
  let guest: Guest | undefined;
  let signalled: keyof typeof SIGNALS | undefined;
  for (const signal of Object.keys(SIGNALS) as (keyof typeof SIGNALS)[]) {
    process.on(signal, () => {
      // Once in order; who asks twice will not wait.
      if (signalled !== undefined) process.exit(128 + SIGNALS[signal]);
      signalled = signal;
      guest?.stop();
    });
  }
  guest = await Guest.start(record === undefined ? spec : { ...spec, record }, say).catch(
    (error) => {
      throw aboutKernel(error)
        ? new HostError('E_FILE', `kernel ${options.kernelPath}: ${error.message}`)
        : error;
    },
  );
  if (signalled !== undefined) guest.stop();
  const isOnTerminal = Object.values(options.serial).some(({ kind }) => kind === 'stdio');
  if (isOnTerminal && process.stdin.isTTY) say('Ctrl-] leaves');
  const { reason } = await guest.end();
  const words = endWords(reason);
  if (words !== undefined) say(words);
  return signalled === undefined ? exitCode(reason) : 128 + SIGNALS[signalled];
}

/** Words that start with what is wrong with the kernel; its name belongs before them. */
function aboutKernel(error: unknown): error is VcpuStartError {
  return error instanceof VcpuStartError && error.code.startsWith('E_KERNEL_');
}

async function guestSpec(options: GuestOptions) {
  const { kernelPath, initrdPath, memoryMib, ...rest } = options;
  return {
    ...rest,
    memoryBytes: memoryMib * MIB,
    kernel: await readGuestFile('kernel', kernelPath),
    initrd: initrdPath === undefined ? undefined : await readGuestFile('initrd', initrdPath),
  };
}

async function readGuestFile(what: string, path: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    throw new HostError('E_FILE', `${what} ${path}: ${systemWords(error)}`);
  }
}

function endWords(reason: EndReason): string | undefined {
  switch (reason.kind) {
    case 'triple-fault':
      return 'the guest ended in a triple fault';
    case 'debug-exit':
      return reason.code === 0 ? undefined : `the guest ended itself with code ${reason.code}`;
    case 'reset':
    case 'off':
    case 'stopped':
      return undefined;
  }
}

function exitCode(reason: EndReason): number {
  if (reason.kind === 'triple-fault') return EXIT.tripleFault;
  return reason.kind === 'debug-exit' ? exitCodeOfGuest(reason.code) : EXIT.ok;
}

function say(line: string): void {
  process.stderr.write(`twinstep: ${line}\r\n`);
}

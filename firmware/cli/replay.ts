// `twinstep replay`: makes a recorded guest again, and says whether it is the same.
import { closeSync, openSync, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { positionUnitOf } from '../host/engine-kinds.ts';
import { chooseEngine } from '../host/engines.ts';
import { HostError, systemWords } from '../host/errors.ts';
import { Replay, type ReplayEnd } from '../host/replay.ts';
import { LockstepError } from '../lockstep/errors.ts';
import { identityFrom, type MachineIdentity } from '../lockstep/guest-identity.ts';
import { entryText } from '../lockstep/listing.ts';
import { LogReader } from '../lockstep/log-file.ts';
import type { ExternalOutput } from '../lockstep/outputs.ts';
import type { Agreement } from '../lockstep/replayer.ts';
import { parseStrictly } from './arguments.ts';
import { engineChoice } from './guest-options.ts';
import { readPieces } from './pieces.ts';
import { EXIT, UsageError } from './usage.ts';

const HELP = `usage: twinstep replay FILE --kernel FILE [--initrd FILE] [--disk FILE]... [OPTIONS]

Runs the guest of a log again. Kernel, initrd and disks are those of the recording, the disks as they
were before it; they are only read. Everything the log knows is compared on the way: outputs, and digests
of registers, devices and memory.

  --until POSITION     stop there ("twinstep log" lists positions)
  --checkpoint FILE    write the machine as it then is
  --from FILE          start from a checkpoint of this log instead of power-on
  --verify             compare the final disks too, and say what was compared
  --engine ENGINE      refuse a log of another engine (auto: whatever the log says)
  --quiet              do not show what the guest wrote to its console

Ends with 0 when everything agreed, 1 when it could not be started, 4 when the replay differs.
`;

const DIVERGED = 4;

interface Values {
  kernel?: string;
  initrd?: string;
  disk?: string[];
  until?: string;
  checkpoint?: string;
  from?: string;
  engine?: string;
  verify?: boolean;
  quiet?: boolean;
}

export async function replayCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(HELP);
    return EXIT.ok;
  }
  const [path, ...rest] = args;
  if (path === undefined || path.startsWith('-')) throw new UsageError('give the log FILE first');
  const values = parseStrictly(rest, {
    kernel: { type: 'string' },
    initrd: { type: 'string' },
    disk: { type: 'string', multiple: true },
    until: { type: 'string' },
    checkpoint: { type: 'string' },
    from: { type: 'string' },
    engine: { type: 'string' },
    verify: { type: 'boolean' },
    quiet: { type: 'boolean' },
  }) as Values;
  return await replay(path, values);
}

async function replay(path: string, values: Values): Promise<number> {
  const until = positionOf(values.until);
  const reader = new LogReader();
  const pieces = readPieces(path, 'log');
  let run: Replay | undefined;
  try {
    let progress: ReplayEnd['progress'] = 'waiting';
    for (const bytes of pieces) {
      const entries = reader.push(bytes);
      run ??= reader.identity && (await start(reader, values));
      run?.push(entries);
      progress = run?.run(until) ?? progress;
      const isThere = until !== undefined && run !== undefined && run.machine.position >= until;
      if (progress === 'diverged' || progress === 'ended' || isThere) break;
    }
    if (run === undefined) throw new LockstepError('E_LOG', 'this log is cut off in its head');
    if (until !== undefined && run.machine.position < until && progress !== 'diverged')
      say(`the log ends before position ${until}`);
    if (values.checkpoint !== undefined) writePieces(values.checkpoint, run.checkpoint());
    return report(run, reader, run.end(progress), values.verify === true);
  } finally {
    run?.close();
  }
}

async function start(reader: LogReader, values: Values): Promise<Replay> {
  const identity: MachineIdentity | undefined = identityFrom(reader.identity ?? {});
  if (identity === undefined)
    throw new LockstepError('E_LOG', 'this log does not say what it is of');
  const { engine = 'auto' } = values;
  const wanted = engineChoice(engine);
  const chosen = wanted === 'auto' ? undefined : chooseEngine(wanted);
  if (chosen !== undefined && chosen.kind !== identity.engine)
    throw new LockstepError('E_IDENTITY', `the log is of engine ${identity.engine}, not ${engine}`);
  if (values.kernel === undefined) throw new UsageError('--kernel FILE is missing');
  const run = new Replay({
    identity,
    interprets: chosen?.interprets,
    files: {
      kernel: await readWhole('kernel', values.kernel),
      initrd: values.initrd === undefined ? undefined : await readWhole('initrd', values.initrd),
      disks: values.disk ?? [],
    },
    onOutput: values.quiet === true ? () => {} : show,
  });
  if (values.from === undefined) run.start();
  else run.startFrom(readPieces(values.from, 'checkpoint'));
  const until = positionOf(values.until);
  const { position } = run.machine;
  if (until !== undefined && until < position) {
    run.close();
    throw new UsageError(`--until ${until}: the checkpoint is already at ${position}`);
  }
  return run;
}

function report(run: Replay, reader: LogReader, end: ReplayEnd, verifies: boolean): number {
  const { divergence } = run.replayer;
  if (divergence !== undefined) {
    say(`the replay differs at entry ${divergence.entryIndex}: ${divergence.what}`);
    const unit = positionUnitOf(reader.identity?.engine);
    if (divergence.entry !== undefined) say(`  ${entryText(divergence.entry, unit).trim()}`);
    say(`  recorded: ${divergence.expected}`);
    say(`  replayed: ${divergence.actual}, at ${divergence.position}`);
    say(`  ${agreementText(divergence.agreed)}`);
    return DIVERGED;
  }
  const { state, memory } = end.digests;
  say(`${end.entries} entries, position ${end.position}`);
  say(`digest of state ${state.toString(16)}, of memory ${memory.toString(16)}`);
  if (reader.damage !== undefined) say(`${reader.damage}; replayed up to there`);
  return verifies ? verifyDisks(reader, end) : EXIT.ok;
}

function agreementText(agreed: Agreement | undefined): string {
  return agreed === undefined
    ? 'no digest was compared before'
    : `last agreed at entry ${agreed.entryIndex}, position ${agreed.position}`;
}

function verifyDisks(reader: LogReader, end: ReplayEnd): number {
  const recorded = reader.summary?.disks as readonly Uint8Array[] | undefined;
  if (end.progress !== 'ended' || recorded === undefined) {
    say('verified to the end of the log; the recording did not end in order');
    return EXIT.ok;
  }
  for (const [index, sha256] of recorded.entries()) {
    const here = end.disks[index];
    if (here === undefined || Buffer.compare(sha256, here) !== 0) {
      say(`disk ${index} differs from the recorded one`);
      return DIVERGED;
    }
  }
  say(
    `verified: registers, devices, memory and ${recorded.length} disk${recorded.length === 1 ? '' : 's'} are identical`,
  );
  return EXIT.ok;
}

function show(output: ExternalOutput): void {
  if (output.kind === 'serial-tx' && output.port === 'com1') {
    process.stdout.write(Uint8Array.of(output.byte));
  }
}

function positionOf(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text)) throw new UsageError(`--until ${text}: must be a position, a number`);
  return BigInt(text);
}

async function readWhole(what: string, path: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    throw new HostError('E_FILE', `${what} ${path}: ${systemWords(error)}`);
  }
}

function writePieces(path: string, pieces: Iterable<Uint8Array>): void {
  try {
    const fd = openSync(path, 'w');
    for (const piece of pieces) {
      for (let at = 0; at < piece.length; ) at += writeSync(fd, piece, at);
    }
    closeSync(fd);
  } catch (error) {
    throw new HostError('E_FILE', `checkpoint ${path}: ${systemWords(error)}`);
  }
}

function say(line: string): void {
  process.stderr.write(`twinstep: ${line}\n`);
}

// `twinstep log`: a log for people.
import { positionUnitOf } from '../host/engine-kinds.ts';
import { LockstepError } from '../lockstep/errors.ts';
import { identityFrom } from '../lockstep/guest-identity.ts';
import { entryText, LogSummarizer, type PositionUnit, summaryText } from '../lockstep/listing.ts';
import { LogReader } from '../lockstep/log-file.ts';
import { MIB } from '../machine/memory-map.ts';
import { parseStrictly } from './arguments.ts';
import { readPieces } from './pieces.ts';
import { EXIT, UsageError } from './usage.ts';

const HELP = `usage: twinstep log FILE [--summary]

Lists the entries of a log: number, position, kind, content. Then how many there are of
each kind, what they take, and how many bytes that is for each second on the guest's clock.

  --summary            no listing

A log that was cut off or damaged is listed up to there, and the last line says so.
`;

interface Values {
  summary?: boolean;
}

/** `twinstep log F | head`: whoever read has seen enough. */
function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(EXIT.ok);
  });
}

export async function logCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(HELP);
    return EXIT.ok;
  }
  const paths = args.filter((arg) => !arg.startsWith('-'));
  const options = args.filter((arg) => arg.startsWith('-'));
  const { summary } = parseStrictly(options, { summary: { type: 'boolean' } }) as Values;
  const [path] = paths;
  if (path === undefined || paths.length > 1) throw new UsageError('give one log FILE');
  endWithReader();
  const reader = new LogReader();
  const summarizer = new LogSummarizer();
  let number = 0;
  for (const bytes of readPieces(path, 'log')) {
    const lines: string[] = [];
    for (const entry of reader.push(bytes)) {
      summarizer.add(entry);
      const text = entryText(entry, unitOf(reader));
      if (summary !== true) lines.push(`${String(number).padStart(8)} ${text}`);
      number++;
    }
    if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`);
  }
  if (reader.identity === undefined)
    throw new LockstepError('E_LOG', 'this log is cut off in its head');
  const identity = identityFrom(reader.identity);
  if (identity !== undefined) {
    const { engine, firmwareVersion, memoryBytes, commandLine } = identity;
    const guest = `${memoryBytes / MIB} MiB, "${commandLine}"`;
    process.stdout.write(`engine ${engine}, firmware ${firmwareVersion}, ${guest}\n`);
  }
  process.stdout.write(`${summaryText(summarizer.summary(), unitOf(reader))}\n`);
  const { damage } = reader;
  if (damage !== undefined) process.stdout.write(`${damage}; everything before it is listed\n`);
  else if (reader.summary === undefined)
    process.stdout.write('the recording did not end in order\n');
  return EXIT.ok;
}

const unitOf = ({ identity }: LogReader): PositionUnit => positionUnitOf(identity?.engine);

// `twinstep log`: a log for people.
import { identityFrom } from '../lockstep/identity.ts';
import { entryText, LogSummarizer, summaryText } from '../lockstep/listing.ts';
import { LogReader } from '../lockstep/log-file.ts';
import { readPieces } from './pieces.ts';
import { EXIT, UsageError } from './usage.ts';

const HELP = `usage: twinstep log FILE [--summary]

Lists the entries of a log, each with its position, then what they cost by kind.
`;

export async function logCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(HELP);
    return EXIT.ok;
  }
  const [path, ...more] = args.filter((arg) => arg !== '--summary');
  if (path === undefined || more.length > 0) throw new UsageError('give one log FILE');
  const lists = !args.includes('--summary');
  const reader = new LogReader();
  const summarizer = new LogSummarizer();
  for (const bytes of readPieces(path, 'log')) {
    const lines: string[] = [];
    for (const entry of reader.push(bytes)) {
      summarizer.add(entry);
      if (lists) lines.push(entryText(entry));
    }
    if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`);
  }
  const identity = reader.identity && identityFrom(reader.identity);
  if (identity !== undefined) {
    const { engine, firmwareVersion, memoryBytes, commandLine } = identity;
    const guest = `${memoryBytes >> 20} MiB, "${commandLine}"`;
    process.stdout.write(`engine ${engine}, firmware ${firmwareVersion}, ${guest}\n`);
  }
  process.stdout.write(`${summaryText(summarizer.summary())}\n`);
  const { damage } = reader;
  if (damage !== undefined) process.stdout.write(`${damage}; everything before it is listed\n`);
  else if (reader.summary === undefined)
    process.stdout.write('the recording did not end in order\n');
  return EXIT.ok;
}

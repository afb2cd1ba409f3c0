// `twinstep scada`: tells SCADA of the board on this machine, as [mqtt] of its configuration says.
import { join } from 'node:path';
import { ConfigError, readConfig } from '../board/config/load.ts';
import type { ScadaConfig } from '../board/config/scada-types.ts';
import { READ_SOCKET } from '../board/control/doors.ts';
import { ScadaAgent, type Teller } from '../scada/agent.ts';
import { PlainTopic } from '../scada/plain-topic.ts';
import { ScadaSession } from '../scada/session.ts';
import { parseStrictly } from './arguments.ts';
import { EXIT, UsageError } from './usage.ts';
import { version } from './version.ts';

const HELP = `usage: twinstep scada --config FILE [--keep FOLDER] [--socket PATH]

Tells SCADA of the board that runs on this machine: MQTT, Sparkplug B 3.0, as the table [mqtt] of its
configuration says (docs/CONFIG.md). Goes on when the board ends, and says that it does not answer. No
command from a broker is obeyed but the request for a rebirth.

  --keep FOLDER    where it keeps the number of its births, across starts (the board's state-dir)
  --socket PATH    of the board; only what reads is asked there (state-dir/${READ_SOCKET})

Ends with 0 after SIGTERM, 1 when the configuration is wrong or has no [mqtt].
`;

const BD_SEQ_FILE = 'mqtt.bdseq';

export async function scadaCommand(args: string[]): Promise<number> {
  const values = parseStrictly(args, {
    config: { type: 'string' },
    keep: { type: 'string' },
    socket: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  }) as { config?: string; keep?: string; socket?: string; help?: boolean };
  if (values.help) {
    process.stdout.write(HELP);
    return EXIT.ok;
  }
  if (values.config === undefined) throw new UsageError('--config FILE is missing');
  const { config, problems } = await readConfig(values.config);
  if (problems.length > 0) throw new ConfigError(values.config, problems);
  if (config.mqtt === null) {
    throw new ConfigError(values.config, [{ line: 0, text: 'there is no table [mqtt]' }]);
  }
  const agent = new ScadaAgent({
    socket: values.socket ?? join(config.stateDir, READ_SOCKET),
    tellers: tellersOf(config.mqtt, values.keep ?? config.stateDir),
    wallMs: () => Date.now(),
    onNotice: say,
  });
  agent.start();
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
  await agent.stop('ended in order');
  return EXIT.ok;
}

const say = (text: string) => process.stderr.write(`twinstep scada: ${text}\n`);

function tellersOf(config: ScadaConfig, keepDir: string): Teller[] {
  const tellers: Teller[] = [
    new ScadaSession({
      config,
      bdSeqFile: join(keepDir, BD_SEQ_FILE),
      wallMs: () => Date.now(),
      onNotice: say,
    }),
  ];
  const { statusTopic: topic } = config;
  if (topic !== undefined) {
    const plain = { config, topic, firmware: version(), wallMs: () => Date.now() };
    tellers.push(new PlainTopic({ ...plain, onNotice: say }));
  }
  return tellers;
}

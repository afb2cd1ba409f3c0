// One of two boards, a process of its own with a guest on the hardware engine (pair.ts starts both):
//
//     board.js primary|backup ENGINE SOCKET SEED SLICE-MAX ROUNDS SLOWNESS
//
// The primary records a seeded life of the plant controller, sends the log through the channel, and
// says aloud an output only when the backup has acknowledged its marker. It goes on until it is killed.
// The backup replays what comes. When it is told that the primary is dead, it applies all it holds, goes
// live there, lives on for some rounds, and reports.
import { createHash } from 'node:crypto';
import type { EngineKind } from '../../firmware/host/engine-kinds.ts';
import type { Entry } from '../../firmware/lockstep/entry.ts';
import { EntryDecoder, EntryEncoder } from '../../firmware/lockstep/entry-codec.ts';
import { OutputGate } from '../../firmware/lockstep/gate.ts';
import { type ExternalOutput, OutputCounter } from '../../firmware/lockstep/outputs.ts';
import type { Progress } from '../../firmware/lockstep/replayer.ts';
import { Channel, type ChannelHandler } from '../../logchan/channel.ts';
import { seededRandom } from '../harness/random.ts';
import { testChannelOptions } from '../logchan/stream-digest.ts';
import { engineOf, follow, Plant, plantOn, recorderOf, replayerOf } from './plant.ts';
import { StreamPort } from './stream-port.ts';
import { liveOn } from './world.ts';

/** An output as the world outside would tell it from others. */
export interface Said {
  readonly sequence: bigint;
  readonly what: string;
}

export interface BackupReport {
  readonly received: Entry[];
  readonly progress: Progress;
  readonly divergence: string | undefined;
  readonly atGoLive: Record<string, string>;
  readonly written: Entry[];
  readonly atEnd: Record<string, string>;
  readonly said: Said[];
}

export type FromBoard =
  | { readonly kind: 'listening' }
  | { readonly kind: 'said'; readonly said: Said }
  | { readonly kind: 'report'; readonly report: BackupReport };

const ENTRY_BYTES_ROOM = 64 << 10;
/** So many times the rounds asked for, until the guest has sent a frame. */
const PATIENCE = 20;

const [role, engine, path, seed, sliceMax, rounds, slowness] = process.argv.slice(2) as [
  'primary' | 'backup',
  EngineKind,
  ...string[],
];
const random = seededRandom(role, Number(seed));
const plant = new Plant(engineOf(engine), plantOn(engine));
const tell = (message: FromBoard) => process.send?.(message);
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function saidOf(output: ExternalOutput, sequence: bigint): Said {
  const hash = createHash('sha256').update(JSON.stringify(output));
  if (output.kind === 'net-tx') hash.update(output.frame);
  return { sequence, what: `${output.kind} ${hash.digest('hex').slice(0, 16)}` };
}

function open(port: StreamPort, handler: ChannelHandler): Channel {
  // The guest runs in this very thread: on an emulated processor its slices alone would be a silence.
  const clockUs = () => (performance.now() * 1000) / Number(slowness);
  const channel = new Channel({ ...testChannelOptions, paths: [{ port }], handler, clockUs });
  channel.start();
  return channel;
}

/** Where it is, should it never come to an end. */
const note = (words: string) => process.stderr.write(`${role}: ${words}\n`);

async function lead(): Promise<void> {
  let channel!: Channel;
  const encoder = new EntryEncoder();
  const gate = new OutputGate<Said>((items) => {
    for (const said of items) tell({ kind: 'said', said });
  });
  gate.setMode('acked');
  let unmarked: Said[] = [];
  const port = await StreamPort.connect(path as string);
  await new Promise<void>((resolve) => {
    channel = open(port, {
      acked: (through) => gate.acked(through),
      event: (event) => {
        if (event.type === 'up') resolve();
        else note(`channel ${event.type}${'why' in event ? `: ${event.why}` : ''}`);
      },
    });
  });
  plant.heard = (output, sequence) => unmarked.push(saidOf(output, sequence));
  const recorder = recorderOf(plant, new OutputCounter(), (entry) => {
    const isMarker = entry.body.kind === 'output';
    const cover = channel.append(encoder.encode(entry), { urgent: isMarker });
    if (!isMarker) return;
    gate.put(unmarked, cover, 0);
    unmarked = [];
  });
  plant.start();
  note('leads');
  while (liveOn(plant, recorder, random, Number(sliceMax))) {
    do await turn();
    while (!channel.fits(ENTRY_BYTES_ROOM));
  }
}

async function backUp(): Promise<void> {
  const decoder = new EntryDecoder();
  const received: Entry[] = [];
  const said: Said[] = [];
  plant.heard = (output, sequence) => said.push(saidOf(output, sequence));
  const replayer = replayerOf(plant);
  plant.start();
  const takeIn = () => {
    const entries: Entry[] = [];
    for (let bytes = channel.take(); bytes; bytes = channel.take()) {
      const decoded = decoder.decode(bytes, 0);
      if (!decoded.ok) throw new Error(`an entry that cannot be read: ${decoded.reason}`);
      entries.push(decoded.entry);
    }
    received.push(...entries);
    return follow(plant, replayer, entries);
  };
  const port = await StreamPort.listen(path as string, () => tell({ kind: 'listening' }));
  const channel = open(port, { readable: () => takeIn() });
  // The evidence: its process is gone, and the cable has given all it had.
  await Promise.all([new Promise((resolve) => process.once('message', resolve)), port.ended]);
  const { progress } = takeIn();
  channel.stop();
  note(`goes live behind ${received.length} entries`);
  const atGoLive = plant.fingerprint();

  const written: Entry[] = [];
  const recorder = recorderOf(plant, replayer.outputs, (entry) => written.push(entry));
  recorder.markPending();
  // The world sends a frame in one round of twenty: some lives of forty rounds hear none to answer.
  const isDumb = () => String(plant.frames) === atGoLive.frames;
  for (let n = 0; n < Number(rounds) || (isDumb() && n < PATIENCE * Number(rounds)); n++)
    liveOn(plant, recorder, random, Number(sliceMax));
  recorder.writeDigest();
  recorder.end();
  const atEnd = plant.fingerprint();
  const divergence = replayer.divergence?.what;
  const report = { received, progress, divergence, atGoLive, written, atEnd, said };
  tell({ kind: 'report', report });
  plant.close();
  process.disconnect();
}

await (role === 'primary' ? lead() : backUp());

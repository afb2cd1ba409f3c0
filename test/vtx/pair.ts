// Two boards as two processes on the hardware engine, and the end of one of them by SIGKILL at a moment
// it does not choose. What must hold afterwards: the backup stands at the last entry it received, which
// is checked by replaying the same entries here; everything the primary said aloud the backup has made,
// too, number by number; and the log of the whole life, both reigns, replays to where the backup ended.
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EngineKind } from '../../firmware/host/engine-kinds.ts';
import type { BackupReport, FromBoard, Said } from './board.ts';
import { engineOf, follow, plantOn, replayPlant } from './plant.ts';

const BOARD = fileURLToPath(new URL('./board.js', import.meta.url));

export interface PairOptions {
  readonly engine: EngineKind;
  readonly seed: number;
  readonly sliceMax: number;
  /** The primary is killed when it has said this many outputs aloud. */
  readonly killAfter: number;
  /** What the backup lives on alone. */
  readonly rounds: number;
  readonly timeoutMs?: number;
  /** How much slower than a board this processor is: the channel's limits of time are as much longer. */
  readonly slowness?: number;
}

export interface Takeover {
  /** Names of what did not hold; empty: all of it did. */
  readonly problems: readonly string[];
  readonly words: string;
}

class Process {
  readonly said: Said[] = [];
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
  report: BackupReport | undefined;
  words = '';
  private wakers: (() => void)[] = [];
  private isGone = false;

  constructor(
    role: string,
    path: string,
    { engine, seed, sliceMax, rounds, slowness = 1 }: PairOptions,
  ) {
    const args = [role, engine, path, seed, sliceMax, rounds, slowness].map(String);
    this.child = fork(BOARD, args, { serialization: 'advanced', stdio: 'pipe' });
    this.child.stderr?.on('data', (bytes) => {
      this.words = `${this.words}${bytes}`.slice(-1500);
    });
    this.child.on('message', (message) => this.hear(message as FromBoard));
    this.ended = new Promise((resolve) => {
      this.child.once('close', () => {
        this.isGone = true;
        this.wake();
        resolve();
      });
    });
  }

  isListening = false;

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      if (this.isGone) throw new Error('a board ended before its time');
      await new Promise<void>((resolve) => {
        this.wakers.push(resolve);
      });
    }
  }

  private hear(message: FromBoard): void {
    if (message.kind === 'said') this.said.push(message.said);
    if (message.kind === 'listening') this.isListening = true;
    if (message.kind === 'report') this.report = message.report;
    this.wake();
  }

  private wake(): void {
    for (const waker of this.wakers.splice(0)) waker();
  }
}

export async function takeOverBetweenProcesses(options: PairOptions): Promise<Takeover> {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-pair-'));
  const path = join(folder, 'cable');
  const backup = new Process('backup', path, options);
  let primary: Process | undefined;
  const tooLong = setTimeout(() => {
    for (const each of [primary, backup]) each?.child.kill('SIGKILL');
  }, options.timeoutMs ?? 60_000);
  try {
    await backup.until(() => backup.isListening);
    primary = new Process('primary', path, options);
    const { said } = primary;
    await primary.until(() => said.length >= options.killAfter);
    primary.child.kill('SIGKILL');
    await primary.ended;
    backup.child.send('the primary is dead');
    await backup.until(() => backup.report !== undefined);
    return judge(options.engine, said, backup.report as BackupReport);
  } catch (error) {
    const said = [primary, backup].map((each) => `${each?.said.length} outputs, ${each?.words}`);
    throw new Error(`${(error as Error).message}\n${said.join('\n')}`);
  } finally {
    clearTimeout(tooLong);
    for (const each of [primary, backup]) {
      each?.child.kill('SIGKILL');
      await each?.ended;
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

function judge(engine: EngineKind, aloud: readonly Said[], report: BackupReport): Takeover {
  const problems: string[] = [];
  const mustBe = (what: string, found: unknown, wanted: unknown) => {
    const [is, should] = [JSON.stringify(found), JSON.stringify(wanted)];
    if (is !== should) problems.push(`${what}: ${is}, not ${should}`);
  };
  const { received, written, atGoLive, atEnd } = report;
  mustBe('the replay', report.progress, 'waiting');
  mustBe('the divergence', report.divergence ?? 'none', 'none');
  mustBe('the position', atGoLive.position, String(received.at(-1)?.position));
  const made = new Map(report.said.map(({ sequence, what }) => [sequence, what]));
  for (const { sequence, what } of aloud)
    mustBe(`output ${sequence}`, made.get(sequence) ?? 'missing', what);
  if (Number(atEnd.frames) <= Number(atGoLive.frames)) problems.push('no frame after the takeover');

  const again = replayPlant(engineOf(engine), received, plantOn(engine));
  mustBe('the state at go-live', again.plant.fingerprint(), atGoLive);
  const whole = follow(again.plant, again.replayer, written);
  mustBe('the replay of both reigns', whole.progress, 'ended');
  mustBe('the state at the end', again.plant.fingerprint(), atEnd);
  again.plant.close();
  const words = `killed after ${aloud.length} outputs; live at ${atGoLive.position} behind ${received.length} entries; ${written.length} entries and ${Number(atEnd.frames) - Number(atGoLive.frames)} frames since; both reigns replay`;
  return { problems, words };
}

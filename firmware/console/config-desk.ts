// The board's configuration file as the console's dialogues use it. Who edits holds a lock that ends with
// the console; every answer is words, never a throw.
import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { lockFile } from '../../native/index.ts';
import { ConfigError, checkConfig, problemLine, readConfig } from '../board/config/load.ts';
import { ConfigStore, now, syncFolder } from '../board/config/store.ts';
import { rollbacks, trialVerdict } from '../board/config/versions.ts';
import { systemWords } from '../host/errors.ts';
import type { ConfigCall, ConfigOpened, Done, OldConfig } from './needs.ts';

export interface ConfigDeskOptions {
  readonly file: string;
  readonly usersFile: string;
  /** Where this console is. */
  readonly line: string;
}

export class ConfigDesk {
  private readonly options: ConfigDeskOptions;
  private readonly store: ConfigStore;
  private lock: number | null = null;

  constructor(options: ConfigDeskOptions) {
    this.options = options;
    this.store = new ConfigStore(options.file);
  }

  async carryOut(call: ConfigCall): Promise<unknown> {
    switch (call.do) {
      case 'config-open':
        return this.open(call.user);
      case 'config-close':
        this.close();
        return { ok: true };
      case 'config-check':
        return await this.problemsOf(call.text);
      case 'config-commit':
        return await this.commit(call);
      case 'config-history':
        return this.history();
      case 'config-confirm':
        return this.confirm(call.keep);
      case 'factory-reset':
        return await this.reset();
    }
  }

  /** Ends the editing. */
  close(): void {
    if (this.lock !== null) closeSync(this.lock);
    this.lock = null;
  }

  /** Null: nothing is on trial. Ends one whose time is over, also where no board does. */
  trialWords(): string | null {
    this.store.settle();
    try {
      const held = this.store.held();
      const verdict = trialVerdict(held, now());
      if (verdict.is !== 'waits') return null;
      const left = Math.ceil(verdict.leftMs / 60_000);
      return `On trial by ${held.trial?.by}: it returns in ${left} min unless somebody enters "confirm".`;
    } catch {
      return null;
    }
  }

  private open(user: string): ConfigOpened {
    try {
      this.store.settle();
      this.lock ??= takeLock(`${this.options.file}.editor`, `${user} on ${this.options.line}`);
      return { ok: true, file: this.options.file, text: this.store.held().current };
    } catch (error) {
      return { ok: false, why: systemWords(error) };
    }
  }

  private async problemsOf(text: string): Promise<readonly string[]> {
    const { file } = this.options;
    try {
      await checkConfig(file, text, { isAnothers: true });
      return [];
    } catch (error) {
      if (!(error instanceof ConfigError)) return [(error as Error).message];
      return error.problems.map((problem) => problemLine(basename(file), problem));
    }
  }

  /** Checked once more: what the dialogue was told may have changed since. */
  private async commit(call: Extract<ConfigCall, { do: 'config-commit' }>): Promise<Done> {
    const { text, user: by, minutes, base } = call;
    const problems = await this.problemsOf(text);
    if (problems.length > 0) return { ok: false, why: problems.join('; ') };
    try {
      if (this.lock === null) throw new Error('nobody edits here any more');
      this.store.commit({ text, by, minutes }, base);
      return { ok: true };
    } catch (error) {
      return { ok: false, why: systemWords(error) };
    }
  }

  private history(): readonly OldConfig[] {
    try {
      return rollbacks(this.store.held());
    } catch {
      return [];
    }
  }

  private confirm(keep: boolean): Done {
    try {
      if (keep) {
        if (this.store.confirm()) return { ok: true };
      } else {
        const { returned, trouble } = this.store.settle(true);
        if (trouble !== null) throw new Error(trouble);
        if (returned !== null) return { ok: true };
      }
      return { ok: false, why: 'no configuration is on trial' };
    } catch (error) {
      return { ok: false, why: systemWords(error) };
    }
  }

  /**
   * The configuration first, so that what is cut in the middle is a bare board whose users still count; the
   * users last. The record of the reigns, the history of alarms and the guest's disks stay: a board that
   * forgot its generation could take itself for the newest.
   */
  private async reset(): Promise<Done> {
    const { file, usersFile } = this.options;
    try {
      const keyFile = await this.keyFile();
      this.store.forget();
      this.close();
      await rm(keyFile, { force: true });
      const folder = dirname(file);
      for (const name of await readdir(folder))
        if (name.startsWith(`${basename(file)}.`))
          await rm(join(folder, name), { recursive: true, force: true });
      syncFolder(folder);
      await rm(usersFile, { force: true });
      syncFolder(dirname(usersFile));
      return { ok: true };
    } catch (error) {
      return { ok: false, why: systemWords(error) };
    }
  }

  private async keyFile(): Promise<string> {
    const usual = join(dirname(this.options.file), 'pairing.key');
    try {
      return (await readConfig(this.options.file)).config.pairingKeyFile || usual;
    } catch {
      return usual;
    }
  }
}

/** Throws who has it. The lock ends with the process that holds it. */
function takeLock(path: string, who: string): number {
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  const lock = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o640);
  if (!lockFile(lock, true)) {
    const other = readFileSync(path, 'utf8')
      .replace(/[^ -~]/g, '')
      .slice(0, 100);
    closeSync(lock);
    throw new Error(`${other === '' ? 'somebody else' : other} edits it; one at a time`);
  }
  ftruncateSync(lock);
  writeSync(lock, `${who} since ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`);
  return lock;
}

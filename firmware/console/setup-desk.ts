// What the first-start wizard needs of the outside: what this machine has, the pairing over the serial
// line, and the two files at the end. Until then nothing is written; every answer is words.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { ConfigError, checkConfig, problemLine } from '../board/config/load.ts';
import { parseConfig } from '../board/config/parse.ts';
import { ConfigStore, putFile } from '../board/config/store.ts';
import { systemWords } from '../host/errors.ts';
import { secretMode } from '../host/secret-file.ts';
import type { Done, SetupCall, SetupFacts } from './needs.ts';
import { type Met, PairingLine } from './pairing-line.ts';

const KEY_BYTES = 32;

export class SetupDesk {
  private readonly file: string;
  private pairing: PairingLine | null = null;
  private key: Uint8Array | null = null;

  constructor(file: string) {
    this.file = file;
  }

  async carryOut(call: SetupCall): Promise<unknown> {
    switch (call.do) {
      case 'setup-facts':
        return setupFacts();
      case 'setup-check':
        return await this.problemsOf(call.text, new Uint8Array(KEY_BYTES));
      case 'pair-begin':
        return await this.meet(call.port, call.name);
      case 'pair-decide':
        return await this.decide(call.same);
      case 'pair-stop':
        await this.close();
        return { ok: true };
      case 'setup-write':
        return await this.write(call.text, call.user);
    }
  }

  async close(): Promise<void> {
    const { pairing } = this;
    this.pairing = null;
    this.key = null;
    await pairing?.stop();
  }

  private async meet(port: string, name: string): Promise<Met> {
    await this.close();
    const pairing = new PairingLine(port, name);
    this.pairing = pairing;
    pairing.start();
    const met = await pairing.meet();
    if (!met.ok && this.pairing === pairing) await this.close();
    return met;
  }

  private async decide(same: boolean): Promise<unknown> {
    if (this.pairing === null) return { ok: false, why: 'no pairing is under way' };
    const paired = await this.pairing.decide(same);
    if (!paired.ok) return paired;
    this.key = paired.key;
    return { ok: true, side: paired.side };
  }

  private async problemsOf(text: string, key: Uint8Array): Promise<readonly string[]> {
    try {
      await checkConfig(this.file, text, { key, isAnothers: true });
      return [];
    } catch (error) {
      if (!(error instanceof ConfigError)) return [(error as Error).message];
      return error.problems.map((problem) => problemLine(basename(this.file), problem));
    }
  }

  /** The key first: with the configuration the board is set up. */
  private async write(text: string, user: string): Promise<Done> {
    const { key } = this;
    if (key === null) return { ok: false, why: 'the boards are not paired' };
    if (existsSync(this.file)) return { ok: false, why: `there is a ${this.file} already` };
    const problems = await this.problemsOf(text, key);
    if (problems.length > 0) return { ok: false, why: problems.join('; ') };
    const { pairingKeyFile } = parseConfig(text, dirname(this.file)).config;
    try {
      putFile(pairingKeyFile, key, secretMode(pairingKeyFile));
      new ConfigStore(this.file).commit({ text, by: user, minutes: null }, null);
      this.key = null;
      return { ok: true };
    } catch (error) {
      rmSync(pairingKeyFile, { force: true });
      rmSync(`${pairingKeyFile}.new`, { force: true });
      return { ok: false, why: systemWords(error) };
    }
  }
}

function setupFacts(): SetupFacts {
  const list = (folder: string, pattern: RegExp) => {
    try {
      return readdirSync(folder).filter((name) => pattern.test(name));
    } catch {
      return [];
    }
  };
  return {
    cards: list('/sys/class/net', /^(?!lo$)/).sort(),
    serialPorts: list('/dev', /^tty(S[0-3]|USB\d+)$/)
      .sort()
      .map((name) => `/dev/${name}`),
    hasWatchdog: existsSync('/dev/watchdog'),
  };
}

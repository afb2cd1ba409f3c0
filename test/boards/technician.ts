// The technician at a board's first serial line: logs in, types commands, reads what comes.
import { type Machine, plain } from '../appliance/machine.ts';

const PASSWORD = 'press 7 at night';
const PROMPT = /^(emulated-[ab] \S+( \S+)?)[#>] $/m;
/** The kernel may have written behind it. */
const LOGIN = /login: (?:\[ *\d+\.\d+\] [^\n]*\s*)*$/;
const FIRST = /no users yet[\s\S]*: $/;
const LOGIN_MS = 60_000;
const COMMAND_MS = 30_000;

export class Technician {
  private readonly machine: Machine;
  /** Of the machine's text: where the newest session began. */
  private read = 0;

  constructor(machine: Machine) {
    this.machine = machine;
  }

  /** At the console's prompt when done. The first one ever makes the password of admin. */
  async login(): Promise<void> {
    const { machine } = this;
    const from = this.read;
    await machine.says(new RegExp(`${LOGIN.source}|${FIRST.source}`), LOGIN_MS, from);
    if (!LOGIN.test(plain(machine.text))) {
      await this.answer(PASSWORD, /:.*:[^:]*: $/s, from);
      await this.answer(PASSWORD, PROMPT, machine.text.length);
    } else {
      await this.answer('admin', /assword: $/, machine.text.length);
      await this.answer(PASSWORD, PROMPT, machine.text.length);
    }
    await this.command('terminal length 0');
    this.read = machine.text.length;
  }

  /** Logged in, and the machine has not started anew since. */
  get isThere(): boolean {
    return this.read > 0 && !/Twinstep: slot/.test(this.machine.text.slice(this.read));
  }

  /** What a command shows, its echo and the next prompt apart. */
  async command(line: string, withinMs = COMMAND_MS): Promise<string> {
    const from = this.machine.text.length;
    this.machine.type(`${line}\r`);
    await this.machine.says(/\n[^\n]*[#>] $/, withinMs, from);
    const shown = plain(this.machine.text.slice(from)).split('\n');
    return shown.slice(1, -1).join('\n');
  }

  /** A request that wants to be confirmed. */
  async request(line: string, confirmation: string): Promise<string> {
    const from = this.machine.text.length;
    this.machine.type(`${line}\r`);
    await this.machine.says(/(\[yes\/no\]|to go on:) $|[#>] $/, COMMAND_MS, from);
    if (!/(\[yes\/no\]|to go on:) $/.test(plain(this.machine.text.slice(from))))
      throw new Error(`${line}: ${plain(this.machine.text.slice(from))}`);
    return await this.command(confirmation);
  }

  /** What the prompt says of board and pair: "emulated-a PRIMARY RUN-Solo". */
  async prompt(): Promise<string> {
    const from = this.machine.text.length;
    this.machine.type('\r');
    await this.machine.says(/[#>] $/, COMMAND_MS, from);
    return PROMPT.exec(plain(this.machine.text.slice(from)))?.[1] ?? '?';
  }

  private async answer(text: string, words: RegExp, from: number): Promise<void> {
    this.machine.type(`${text}\r`);
    await this.machine.says(words, LOGIN_MS, from);
  }
}

// A board's configuration file in memory, for dialogues.
import { parseConfig } from '../../firmware/board/config/parse.ts';
import type { ConfigCall, OldConfig } from '../../firmware/console/needs.ts';

export const GOOD = `# Press 7, hall 2
[board]
name = "press-7-a"
side = "a"

[log]
interface = "log0" # the short cable
[serial]
port = "none"
[front]
interface = "plant0"
bind = "192.168.10.2"
peer = "192.168.10.3"
gateway = "192.168.10.1"
[guest]
kernel = "/data/bzImage"
#memory-mib = 256
`;

export function checkedProblems(text: string): string[] {
  return parseConfig(text, '/etc').problems.map((it) => `board.toml:${it.line}: ${it.text}`);
}

export class FakeFile {
  text: string | null = GOOD;
  history: OldConfig[] = [];
  minutes: number | null = null;

  commit({ text, minutes, user: by, base }: Extract<ConfigCall, { do: 'config-commit' }>): unknown {
    const problems = checkedProblems(text);
    if (problems.length > 0) return { ok: false, why: problems.join('; ') };
    if (base !== this.text) return { ok: false, why: 'the file was changed meanwhile' };
    const replacedMs = Date.UTC(2026, 2, 1, 10, this.history.length);
    if (this.text !== null) this.history.unshift({ by, replacedMs, text: this.text });
    this.text = text;
    this.minutes = minutes;
    return { ok: true };
  }
}

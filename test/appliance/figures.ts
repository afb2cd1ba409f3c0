// Facts about a running board, asked by the host's shell, as lines for people.
import type { Machine } from './machine.ts';

export const mib = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;

const lines = (text: string): string[] => text.split('\n').filter((line) => line.trim() !== '');

export async function figuresOf(machine: Machine): Promise<string[]> {
  const memory =
    lines(await machine.shell('free -k')).find((line) => line.startsWith('Mem:')) ?? '';
  const [, total = 0, used = 0] = memory.split(/\s+/).map(Number);
  const ports = lines(await machine.shell('netstat -lntuw')).filter((line) =>
    /^(tcp|udp|raw)/.test(line),
  );
  const packet = lines(await machine.shell('cat /proc/net/packet')).length - 1;
  const processes = lines(await machine.shell('ps -o pid,user,rss,args'))
    .map((line) => line.trim())
    .filter((line) => !/^\d+ \S+ +0 /.test(line));
  const firmware = processes.filter((line) => /\/usr\/bin\/node\b/.test(line));
  const rights = await machine.shell(
    'for p in $(pidof node); do echo "$p $(tr "\\0" " " </proc/$p/cmdline | cut -c 40-120) $(grep -E "CapEff|NoNewPrivs" /proc/$p/status | tr "\\n\\t" "  ")"; done',
  );
  return [
    `memory used: ${mib(used * 1024)} of ${mib(total * 1024)}, file cache apart`,
    ports.length === 0 ? 'open ports: none' : `open ports:\n  ${ports.join('\n  ')}`,
    `packet sockets: ${packet}`,
    `processes of the firmware:\n  ${firmware.join('\n  ') || 'none'}`,
    `their rights:\n  ${lines(rights).join('\n  ') || 'none'}`,
  ];
}

// What a report of the emulated board says, as lines for people.

export const mib = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;

/** The last report's section under a title. */
export function section(report: string, title: string): string[] {
  const last = report.slice(report.lastIndexOf('== report after'));
  const at = last.indexOf(`-- ${title}\n`);
  if (at < 0) return [];
  const body = last.slice(at + title.length + 4);
  const end = body.search(/^(--|==) /m);
  return body
    .slice(0, end < 0 ? undefined : end)
    .split('\n')
    .filter((line) => line.trim() !== '');
}

export function figuresOf(report: string): string[] {
  const memory = section(report, 'memory').find((line) => line.startsWith('Mem:')) ?? '';
  const [, total = 0, used = 0] = memory.split(/\s+/).map(Number);
  const ports = section(report, 'ports').filter((line) => /^(tcp|udp|raw)/.test(line));
  const processes = section(report, 'processes').map((line) => line.trim());
  const twinstep = processes.filter((line) => /\bnode\b/.test(line));
  return [
    `memory used ${mib(used * 1024)} of ${mib(total * 1024)}, file cache apart`,
    ports.length === 0 ? 'open ports: none' : `open ports:\n  ${ports.join('\n  ')}`,
    `packet sockets: ${Math.max(0, section(report, 'packet sockets').length - 1)}`,
    `processes of the firmware:\n  ${twinstep.join('\n  ') || 'none'}`,
    `processes: ${processes.length - 1}, as root: ${processes.filter((line) => /^\d+ root\b/.test(line)).length}`,
  ];
}

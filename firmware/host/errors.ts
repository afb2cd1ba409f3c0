// What can be wrong with what a person gave us on this host: a stable code, and one clear line.

export type HostErrorCode =
  | 'E_ENGINE' // an engine this host does not have
  | 'E_FILE' // a kernel or initrd that cannot be read
  | 'E_SOCKET' // a Unix socket that cannot be had
  | 'E_PTY' // no pseudo-terminal
  | 'E_SERIAL' // a serial port that cannot be had
  | 'E_STDIO'; // the console of this process is no use

export class HostError extends Error {
  readonly code: HostErrorCode;
  constructor(code: HostErrorCode, message: string) {
    super(message);
    this.name = 'HostError';
    this.code = code;
  }
}

/** System errors people meet, in words; the system's own for the rest. */
export function systemWords(error: unknown): string {
  const { code = '', message = String(error) } = error as { code?: string; message?: string };
  return WORDS[code] ?? message;
}

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ENOTDIR: 'no such file or directory',
  EISDIR: 'is a directory',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'lies on a read-only file system',
  ENOSPC: 'no space is left on the disk',
  EDQUOT: 'no space is left for this user',
  EADDRINUSE: 'is in use by another program',
  ENOTSOCK: 'is a file, not a socket',
};

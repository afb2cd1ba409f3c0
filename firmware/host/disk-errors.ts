// What can be wrong with a disk image, in words for whoever has to mend it.

export const DISK_ERROR_CODES = [
  'E_DISK_MISSING', // no such file
  'E_DISK_KIND', // not a regular file
  'E_DISK_FORMAT', // an image of another kind, or packed; the message has the command that makes it raw
  'E_DISK_SIZE', // empty, or not a whole number of sectors
  'E_DISK_PERMISSION', // this user may not read or write it
  'E_DISK_READ_ONLY', // on a file system that cannot be written
  'E_DISK_BUSY', // another program has it
  'E_DISK_NO_SPACE', // the file system, or the user's share of it, is full
  'E_DISK_SHORT', // the file became shorter while open
  'E_DISK_FAILED', // anything else; the message has the system's words
] as const;
export type DiskErrorCode = (typeof DISK_ERROR_CODES)[number];

/** One clear line in `message`, ready for a console. */
export class DiskError extends Error {
  readonly code: DiskErrorCode;
  readonly path: string;
  /** The message without the name. */
  readonly words: string;
  constructor(code: DiskErrorCode, path: string, words: string) {
    super(`disk ${path}: ${words}`);
    this.code = code;
    this.path = path;
    this.words = words;
  }
}

const KNOWN: Readonly<Record<string, readonly [DiskErrorCode, string]>> = {
  ENOENT: ['E_DISK_MISSING', 'no such file'],
  ENOTDIR: ['E_DISK_MISSING', 'no such file'],
  EISDIR: ['E_DISK_KIND', 'is a directory, not an image file'],
  EACCES: ['E_DISK_PERMISSION', 'no permission to open it'],
  EPERM: ['E_DISK_PERMISSION', 'no permission to write it'],
  EROFS: ['E_DISK_READ_ONLY', 'lies on a read-only file system; give it as a read-only disk'],
  ENOSPC: ['E_DISK_NO_SPACE', 'no space left on its file system'],
  EDQUOT: ['E_DISK_NO_SPACE', 'no space left within the quota'],
};

/** The same error in words; DiskErrors pass as they are. */
export function inWords(path: string, error: unknown): DiskError {
  if (error instanceof DiskError) return error;
  const { code = '', message = String(error) } = error as { code?: string; message?: string };
  const [known, words] = KNOWN[code] ?? ['E_DISK_FAILED', message];
  return new DiskError(known, path, words);
}

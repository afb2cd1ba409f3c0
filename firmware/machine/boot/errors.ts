// Why a guest could not be loaded: a stable code for programs, one sentence for people. Sentences
// start with what is wrong, so that a caller can put the file's name before them.

export type BootErrorCode =
  | 'E_KERNEL_EMPTY'
  | 'E_KERNEL_UNKNOWN'
  | 'E_KERNEL_TRUNCATED'
  | 'E_KERNEL_OLD'
  | 'E_KERNEL_32BIT'
  | 'E_KERNEL_FOREIGN'
  | 'E_KERNEL_UNSUPPORTED'
  | 'E_COMMAND_LINE'
  | 'E_MEMORY_TOO_SMALL';

export class BootError extends Error {
  readonly code: BootErrorCode;

  constructor(code: BootErrorCode, message: string) {
    super(message);
    this.name = 'BootError';
    this.code = code;
  }
}

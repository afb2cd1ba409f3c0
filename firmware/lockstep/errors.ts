// Errors of record and replay that a person is told: stable code, and words that say what to do.

export type LockstepErrorCode =
  | 'E_CHECKPOINT' // a checkpoint is cut, altered or foreign
  | 'E_LOG' // a log is cut, altered or foreign
  | 'E_IDENTITY' // log or checkpoint belong to another guest, engine or version
  | 'E_DIVERGENCE'; // the replay differs from the recording

export class LockstepError extends Error {
  readonly code: LockstepErrorCode;

  constructor(code: LockstepErrorCode, message: string) {
    super(message);
    this.name = 'LockstepError';
    this.code = code;
  }
}

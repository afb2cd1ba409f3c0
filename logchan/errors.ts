// Two kinds of trouble. `assert` is for our own mistakes: always on, it ends the process and the
// peer takes over. LogchanError is for the world around a port. Bytes from the network are neither:
// they are dropped with a reason (reasons.ts).

export class BrokenInvariant extends Error {
  override readonly name = 'BrokenInvariant';
}

export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new BrokenInvariant(what);
}

export type LogchanErrorCode =
  | 'E_INTERFACE' // the interface does not exist or is not Ethernet
  | 'E_PERMISSION' // CAP_NET_RAW is missing
  | 'E_MODULE' // an optional native module is absent or does not load
  | 'E_ADDRESS' // not an address of the kind the port needs
  | 'E_KEY' // not a pairing key
  | 'E_SYSTEM'; // anything else the kernel refused, with its words

export class LogchanError extends Error {
  override readonly name = 'LogchanError';
  readonly code: LogchanErrorCode;

  constructor(code: LogchanErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

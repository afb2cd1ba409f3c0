// What is to be booted, as bytes: the same for every protocol.

export type BootRequest = {
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array | undefined;
  readonly commandLine: string;
};

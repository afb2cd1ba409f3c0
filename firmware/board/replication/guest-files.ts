// The files that the guest of this board boots from, read once, in memory that threads share: a guest's thread is
// given them whenever a guest begins, on the deciding thread, which would stand still for as long as it takes to copy
// an initrd of tens of MiB.
import { open } from 'node:fs/promises';
import { HostError, systemWords } from '../../host/errors.ts';
import type { GuestPlan } from '../config/types.ts';

export interface GuestFiles {
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array | undefined;
}

/** Throws HostError: one clear line that names the file. */
export async function readFiles({ kernel, initrd }: GuestPlan): Promise<GuestFiles> {
  return {
    kernel: await bytesOf('kernel', kernel),
    initrd: initrd === undefined ? undefined : await bytesOf('initrd', initrd),
  };
}

async function bytesOf(what: string, path: string): Promise<Uint8Array> {
  try {
    return await readShared(path);
  } catch (error) {
    throw new HostError('E_FILE', `${what} ${path}: ${systemWords(error)}`);
  }
}

async function readShared(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const bytes = new Uint8Array(new SharedArrayBuffer(size));
    for (let at = 0; at < size; ) {
      const { bytesRead } = await file.read(bytes, at, size - at, at);
      if (bytesRead === 0) throw new Error('it became shorter while it was read');
      at += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

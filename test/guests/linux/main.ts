// The command behind `npm run guest:linux`.
import { optionsOf } from '../../harness/options.ts';
import { linuxGuest } from './assemble.ts';
import { DebianError } from './debian.ts';

optionsOf('npm run guest:linux', {});
try {
  const guest = linuxGuest((line) => console.log(line));
  console.log(`\nLinux ${guest.release}\n  kernel ${guest.kernel}\n  initrd ${guest.initrd}`);
} catch (error) {
  if (!(error instanceof DebianError)) throw error;
  console.error(`guest:linux: ${error.message}`);
  console.error('Give your own instead: twinstep guest --kernel BZIMAGE --initrd INITRD.');
  console.error('The kernel needs virtio-pci, virtio-blk, virtio-net and a serial console.');
  process.exitCode = 1;
}

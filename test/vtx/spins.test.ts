// Positions at exits, and a guest that never makes one: what it said before is heard, and it can be
// stopped; a board that follows its log closes the same slices.
import { Vcpu } from '../../firmware/host/vcpu/vcpu.ts';
import { probeKvm } from '../../native/index.ts';
import { assert, suite } from '../harness/index.ts';
import { tinyGuest } from '../host/tiny-guests.ts';

const test = suite('vtx/spins');
const probe = probeKvm();
test.needs({ met: probe.isUsable, why: `needs a KVM that works here (${probe.words.join('; ')})` });

test(
  'a guest that spins is heard and stopped',
  async () => {
    let text = '';
    let heard = () => {};
    const all = new Promise<void>((resolve) => {
      heard = resolve;
    });
    const vcpu = await Vcpu.start({
      config: {
        ...{ memoryBytes: 8 << 20, kernel: tinyGuest.spins('hello'), initrd: undefined },
        ...{ commandLine: '', engine: 'vtx-exits', epochSeconds: 1, multiplier: 10n << 32n },
        devices: { nics: [], disks: [], hasConsole: false },
        entropySeed: new Uint8Array(32).fill(1),
      },
      log: undefined,
      restartsOn: [],
      onOutputs: (outputs) => {
        for (const one of outputs)
          if (one.kind === 'serial-tx') text += Buffer.from(one.bytes).toString('latin1');
        if (text === 'hello') heard();
      },
      onDiskRequest: () => {},
      onLog: () => {},
      onReboot: () => {},
      onSerialTaken: () => {},
    });
    await all;
    vcpu.stop();
    assert.equal((await vcpu.ended).reason, { kind: 'stopped' });
  },
  { timeoutMs: 30_000 },
);

test.run();

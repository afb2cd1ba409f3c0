// The real thread with the real engine, on guests of a few bytes.
import type { OutputItem } from '../../../firmware/host/vcpu/messages.ts';
import { Vcpu, VcpuStartError } from '../../../firmware/host/vcpu/vcpu.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { tinyGuest } from '../tiny-guests.ts';

const test = suite('host/vcpu/vcpu');

/** A guest with its outputs gathered, and a way to wait for some. */
class Probe {
  readonly outputs: OutputItem[] = [];
  reboots = 0;
  taken = 0;
  private wake: () => void = () => {};

  async start(
    kernel: Uint8Array,
    rebootsOnReset = false,
    limits: { batchesWaitingMax?: number } = {},
  ): Promise<Vcpu> {
    return await Vcpu.start({
      ...limits,
      config: {
        ...{ memoryBytes: 4 << 20, kernel, initrd: undefined, commandLine: '', epochSeconds: 0 },
        devices: { nics: [], disks: [], hasConsole: false },
        entropySeed: new Uint8Array(32),
        multiplier: 1n << 32n,
      },
      log: undefined,
      restartsOn: rebootsOnReset ? ['reset'] : [],
      onOutputs: (outputs) => {
        this.outputs.push(...outputs);
        this.wake();
      },
      onDiskRequest: () => {},
      onLog: () => {
        throw new Error('nobody asked for a log');
      },
      onReboot: () => {
        this.reboots++;
        this.wake();
      },
      onSerialTaken: (_port, bytes) => {
        this.taken += bytes;
        this.wake();
      },
    });
  }

  get bytes(): number[] {
    return this.outputs.flatMap((one) => (one.kind === 'serial-tx' ? [...one.bytes] : []));
  }

  get text(): string {
    return String.fromCharCode(...this.bytes);
  }

  async until(isDone: () => boolean): Promise<void> {
    while (!isDone())
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
  }
}

test('what a guest says comes out, and its end with its reason and position', async () => {
  const probe = new Probe();
  const vcpu = await probe.start(tinyGuest.exits(7, 'hello'));
  const { reason, position } = await vcpu.ended;
  assert.equal(reason, { kind: 'debug-exit', code: 7 });
  assert.is(position, 21n); // three instructions a port access: line control, letters, exit
  assert.is(probe.text, 'hello');
  vcpu.stop();
  vcpu.send([{ kind: 'control', action: 'reset' }]);
});

test('a triple fault ends it', async () => {
  const vcpu = await new Probe().start(tinyGuest.tripleFaults());
  assert.equal((await vcpu.ended).reason, { kind: 'triple-fault' });
});

test('input reaches a guest that never idles, and flow is reported', async () => {
  const probe = new Probe();
  const vcpu = await probe.start(tinyGuest.echoes());
  const sent = seededRandom()
    .bytes(20_000)
    .map((byte) => (byte === 0x71 ? 0x70 : byte));
  for (let at = 0; at < sent.length; at += 1000) {
    vcpu.send([{ kind: 'serial-rx', port: 'com1', bytes: sent.slice(at, at + 1000) }]);
  }
  await probe.until(() => probe.bytes.length >= sent.length);
  const wanted = sent.map((byte) => byte + 1);
  assert.is(Buffer.compare(Uint8Array.from(probe.bytes), wanted), 0);
  assert.is(probe.taken, sent.length);
  vcpu.send([{ kind: 'serial-rx', port: 'com1', bytes: Uint8Array.of(0x71) }]);
  assert.equal((await vcpu.ended).reason, { kind: 'debug-exit', code: 5 });
});

test('a spinning and a sleeping guest stop when asked', async () => {
  for (const kernel of [tinyGuest.spins('x'), tinyGuest.halts('x')]) {
    const probe = new Probe();
    const vcpu = await probe.start(kernel);
    await probe.until(() => probe.text === 'x');
    vcpu.stop();
    vcpu.stop();
    assert.equal((await vcpu.ended).reason, { kind: 'stopped' });
  }
});

test('a reset starts the guest over, or ends it', async () => {
  const probe = new Probe();
  const vcpu = await probe.start(tinyGuest.resets('r'), true);
  await probe.until(() => probe.reboots >= 3);
  vcpu.stop();
  assert.equal((await vcpu.ended).reason, { kind: 'stopped' });
  assert.match(probe.text, /^rrr/);

  const once = new Probe();
  const ending = await once.start(tinyGuest.resets('r'));
  assert.equal((await ending.ended).reason, { kind: 'reset' });
  assert.is(once.text, 'r');
});

test('reset and power button from outside', async () => {
  for (const [action, kind] of [['reset', 'reset'] as const, ['power-button', 'off'] as const]) {
    const vcpu = await new Probe().start(tinyGuest.halts());
    vcpu.send([{ kind: 'control', action }]);
    assert.equal((await vcpu.ended).reason, { kind });
  }
});

test('an owner that does not listen loses text, not memory', async () => {
  const probe = new Probe();
  const vcpu = await probe.start(tinyGuest.echoes(), false, { batchesWaitingMax: 3 });
  const hundred = new Uint8Array(100);
  for (let i = 0; i < 20; i++) {
    vcpu.send([{ kind: 'serial-rx', port: 'com1', bytes: hundred }]);
    // Block this thread long enough for the guest to answer.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  }
  vcpu.send([{ kind: 'serial-rx', port: 'com1', bytes: Uint8Array.of(0x71) }]);
  assert.equal((await vcpu.ended).reason, { kind: 'debug-exit', code: 5 });
  assert.ok(vcpu.outputsDropped > 0);
  assert.ok(probe.bytes.length < 2000, `${probe.bytes.length}`);
});

test('what cannot be started says why', async () => {
  const start = async (kernel: Uint8Array) => {
    try {
      await new Probe().start(kernel);
      return undefined;
    } catch (error) {
      assert.instance(error, VcpuStartError);
      return error as VcpuStartError;
    }
  };
  assert.is((await start(new Uint8Array(0)))?.code, 'E_KERNEL_EMPTY');
  const unknown = await start(new TextEncoder().encode('#!/bin/sh'));
  assert.is(unknown?.code, 'E_KERNEL_UNKNOWN');
  assert.match(unknown?.message ?? '', 'a script');
});

test('frames for a thread that is away are dropped beyond a limit, serial bytes never', async () => {
  const probe = new Probe();
  const vcpu = await probe.start(tinyGuest.halts());
  const frame = new Uint8Array(60);
  // Many more than it can take while this function does not return.
  for (let i = 0; i < 100; i++) {
    const bytes = Uint8Array.of(1);
    vcpu.send([{ kind: 'serial-rx', port: 'com2', bytes }]);
  }
  assert.is(vcpu.framesDropped, 0);
  vcpu.send(Array.from({ length: 2000 }, () => ({ kind: 'net-rx', nic: 0, frame }) as const));
  assert.is(vcpu.framesDropped, 2000 - 512);
  // This guest has no network card: the thread breaks, and says so.
  await vcpu.ended.then(
    () => assert.unreachable(),
    (error: Error) => assert.match(error.message, 'no network card 0'),
  );
});

test.run();

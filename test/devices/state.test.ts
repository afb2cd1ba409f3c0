// What must hold for every device, shown with random port scripts:
// - saved at a random moment and restored into a fresh one, a device goes on exactly like the first;
// - looking at the clock more often than needed changes nothing (slices may be cut anywhere).

import { PmTimer } from '../../firmware/devices/acpi-pm/acpi-pm.ts';
import type { Device, IrqLine } from '../../firmware/devices/contracts.ts';
import { DebugPorts } from '../../firmware/devices/debug/debug.ts';
import { PciHost } from '../../firmware/devices/pci/host.ts';
import { Pic } from '../../firmware/devices/pic/pic.ts';
import { Pit } from '../../firmware/devices/pit/pit.ts';
import { ResetPorts } from '../../firmware/devices/reset/reset.ts';
import { Rtc } from '../../firmware/devices/rtc/rtc.ts';
import { Uart } from '../../firmware/devices/uart/uart.ts';
import { assert, type SeededRandom, seededRandom, suite } from '../harness/index.ts';

const test = suite('devices/state');

type Log = string[];

// A device with everything it drives written into a log, and inputs beside its ports.
type Subject = {
  readonly device: Device;
  readonly inputs: readonly ((value: number) => void)[];
};

const wire = (log: Log, name: string): IrqLine => {
  let isHigh = false;
  return {
    set: (level) => {
      if (level !== isHigh) log.push(`${name} ${level}`);
      isHigh = level;
    },
  };
};

const SUBJECTS: Record<string, (log: Log) => Subject> = {
  pic: (log) => {
    const pic = new Pic({ intr: wire(log, 'intr'), levelTriggered: 0x0e00 });
    const lines = [0, 1, 4, 8, 9, 10, 12].map((irq) => pic.line(irq));
    return {
      device: pic,
      inputs: [
        (value) => lines[value % lines.length]!.set(value > 100),
        () => pic.isRaised && log.push(`vector ${pic.acknowledge()}`),
      ],
    };
  },
  pit: (log) => ({ device: new Pit({ irq: wire(log, 'irq0') }), inputs: [] }),
  rtc: (log) => ({
    device: new Rtc({ irq: wire(log, 'irq8'), epochSeconds: 1_700_000_000, presets: [] }),
    inputs: [],
  }),
  uart: (log) => {
    const uart = new Uart({
      name: 'com2',
      port: 0x2f8,
      irq: wire(log, 'irq3'),
      output: (output) => log.push(JSON.stringify(output)),
    });
    return {
      device: uart,
      inputs: [
        (value) => uart.receive(Uint8Array.from({ length: value % 40 }, (_, i) => i + value)),
        () => uart.receiveBreak(),
        (value) =>
          uart.setModemInputs({
            cts: (value & 1) !== 0,
            dsr: (value & 2) !== 0,
            dcd: (value & 4) !== 0,
            ri: (value & 8) !== 0,
          }),
      ],
    };
  },
  reset: (log) => ({ device: new ResetPorts({ onReset: () => log.push('reset') }), inputs: [] }),
  debug: (log) => ({
    device: new DebugPorts({ onExit: (code) => log.push(`exit ${code}`) }),
    inputs: [],
  }),
  'acpi-pm': () => ({ device: new PmTimer(), inputs: [] }),
  pci: (log) => ({
    device: new PciHost({
      irqLine: (irq) => wire(log, `irq${irq}`),
      resetRegister: { read: () => 0, write: (value) => log.push(`reset ${value}`) },
    }),
    inputs: [],
  }),
};

type Step =
  | { readonly kind: 'read'; readonly port: number; readonly bytes: number }
  | {
      readonly kind: 'write';
      readonly port: number;
      readonly bytes: number;
      readonly value: number;
    }
  | { readonly kind: 'time'; readonly ns: bigint }
  | { readonly kind: 'input'; readonly index: number; readonly value: number };

function makeScript(subject: Subject, random: SeededRandom, steps: number): Step[] {
  const { device, inputs } = subject;
  const ports = device.ports!.flatMap(({ base, count }) =>
    Array.from({ length: Math.min(count, 16) }, (_, i) => base + i),
  );
  const script: Step[] = [];
  let ns = 0n;
  for (let i = 0; i < steps; i++) {
    const dice = random.int(10);
    const bytes = device.portBytesMax === 4 && random.chance(0.5) ? 4 : 1;
    const port = bytes === 4 ? random.pick(ports) & ~3 : random.pick(ports);
    if (dice < 4) script.push({ kind: 'write', port, bytes, value: randomValue(random, bytes) });
    else if (dice < 7) script.push({ kind: 'read', port, bytes });
    else if (dice < 9 || inputs.length === 0) {
      ns += BigInt(random.int(random.pick([10, 100_000, 2_000_000_000])));
      script.push({ kind: 'time', ns });
    } else {
      script.push({ kind: 'input', index: random.int(inputs.length), value: random.int(256) });
    }
  }
  return script;
}

function randomValue(random: SeededRandom, bytes: number): number {
  if (bytes === 4) return random.chance(0.5) ? 0x80000000 + random.int(0x1000) : random.u32();
  return random.chance(0.3)
    ? random.pick([0, 0x11, 0x20, 0x34, 0x36, 0x83, 0x0b])
    : random.int(256);
}

// As the machine does: time never passes a deadline without stopping there.
function advance(device: Device, ns: bigint): void {
  for (;;) {
    const deadline = device.nextDeadlineNs();
    if (deadline === undefined || deadline > ns) break;
    device.advanceTo(deadline);
  }
  device.advanceTo(ns);
}

function play(subject: Subject, step: Step, log: Log): void {
  const { device, inputs } = subject;
  if (step.kind === 'time') advance(device, step.ns);
  else if (step.kind === 'input') inputs[step.index]!(step.value);
  else if (step.kind === 'write') device.writePort!(step.port, step.bytes, step.value);
  else log.push(`${step.port.toString(16)} reads ${device.readPort!(step.port, step.bytes)}`);
  log.push(`next ${device.nextDeadlineNs()}`);
}

for (const [name, make] of Object.entries(SUBJECTS)) {
  test(`${name}: goes on after restore as if nothing had happened`, () => {
    const random = seededRandom(`restore ${name}`);
    for (let round = 0; round < 60; round++) {
      const log: Log = [];
      const original = make(log);
      const script = makeScript(original, random, 200);
      const cut = random.int(script.length);
      for (const step of script.slice(0, cut)) play(original, step, log);

      const copyLog: Log = [];
      const copy = make(copyLog);
      copy.device.restore(structuredClone(original.device.state()));
      assert.equal(copy.device.state(), original.device.state());
      log.length = 0;
      copyLog.length = 0;
      for (const step of script.slice(cut)) {
        play(original, step, log);
        play(copy, step, copyLog);
      }
      assert.equal(copyLog, log, `round ${round}, cut at ${cut}`);
      assert.equal(copy.device.state(), original.device.state());
    }
  });

  test(`${name}: extra looks at the clock change nothing`, () => {
    const random = seededRandom(`looks ${name}`);
    for (let round = 0; round < 60; round++) {
      const log: Log = [];
      const otherLog: Log = [];
      const straight = make(log);
      const nosy = make(otherLog);
      let nowNs = 0n;
      for (const step of makeScript(straight, random, 200)) {
        if (step.kind === 'time') {
          for (let i = random.int(4); i > 0; i--) {
            nowNs += ((step.ns - nowNs) * BigInt(random.int(100))) / 100n;
            advance(nosy.device, nowNs);
          }
          nowNs = step.ns;
        }
        play(straight, step, log);
        play(nosy, step, otherLog);
      }
      assert.equal(otherLog, log, `round ${round}`);
      assert.equal(nosy.device.state(), straight.device.state());
    }
  });
}

test.run();

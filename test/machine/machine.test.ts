// The machine's loop against a scripted engine: what it asks of engine and devices, exit by exit.

import type { Output } from '../../firmware/devices/contracts.ts';
import { MULTIPLIER_ONE } from '../../firmware/machine/clock.ts';
import { type CpuSetup, ExitReason } from '../../firmware/machine/engine.ts';
import { Machine } from '../../firmware/machine/machine.ts';
import type { Endpoints, PlugContext } from '../../firmware/machine/machine-types.ts';
import { MemoryBanks } from '../../firmware/machine/memory-banks.ts';
import { MIB } from '../../firmware/machine/memory-map.ts';
import { assert, suite } from '../harness/index.ts';
import { ScriptedEngine, type ScriptedExit } from './scripted-engine.ts';

const test = suite('machine');

const SETUP = { rip: 0x1000 } as CpuSetup;

function setUp(script: ScriptedExit[], plug?: (context: PlugContext) => Endpoints) {
  const engine = new ScriptedEngine(script);
  const outputs: Output[] = [];
  const machine = new Machine({
    engine,
    memory: new MemoryBanks([new Uint8Array(4 * MIB)]),
    output: (output) => outputs.push(output),
    epochSeconds: 1_700_000_000,
    entropySeed: new Uint8Array(32),
    multiplier: MULTIPLIER_ONE,
    plug,
  });
  machine.start(SETUP);
  const calls = () => engine.calls.splice(0);
  calls();
  return { engine, machine, outputs, calls };
}

const out = (port: number, low: number, bytes = 1): ScriptedExit => ({
  reason: ExitReason.portOut,
  address: port,
  bytes,
  low,
  retires: 1,
});
const input = (port: number, bytes = 1): ScriptedExit => ({
  reason: ExitReason.portIn,
  address: port,
  bytes,
});
const INIT_PIC = [
  out(0x20, 0x11),
  out(0x21, 0x20),
  out(0x21, 0x04),
  out(0x21, 0x01),
  out(0xa0, 0x11),
  out(0xa1, 0x28),
  out(0xa1, 0x02),
  out(0xa1, 0x01),
];

test('start: the vCPU is set up, seeded, and its clock runs like the machine’s', () => {
  const { engine, machine } = setUp([]);
  assert.is(engine.setupWith, SETUP);
  machine.runSlice(1234n);
  assert.is(machine.nowNs(), 1234n);
  assert.is(machine.position, 1234n);
});

test('ports: reads are answered, writes arrive, nobody is all ones', () => {
  const { machine, outputs, calls } = setUp([
    input(0x3fd),
    out(0x3f8, 0x41),
    input(0x1234, 2),
    out(0x1234, 7),
  ]);
  assert.is(machine.runSlice(100n), 'limit');
  assert.equal(calls(), ['read 60 0', 'read ffff 0']);
  assert.equal(outputs, [{ kind: 'serial-tx', port: 'com1', byte: 0x41 & 0x1f }]);
  assert.is(machine.bus.openBusReads, 2);
  assert.is(machine.bus.openBusWrites, 1);
});

test('memory: eight bytes are two accesses', () => {
  const { machine, calls } = setUp([
    { reason: ExitReason.mmioRead, address: 0xd000_0000, bytes: 8 },
    { reason: ExitReason.mmioWrite, address: 0xd000_0000, bytes: 8, low: 1, high: 2 },
    { reason: ExitReason.mmioRead, address: 0xd000_0000, bytes: 2 },
  ]);
  machine.runSlice(10n);
  assert.equal(calls(), ['read ffffffff ffffffff', 'read ffff 0']);
  assert.is(machine.bus.openBusWrites, 2);
});

test('a timer stops the engine at its position, raises the line, and is delivered', () => {
  const { engine, machine, calls } = setUp([
    ...INIT_PIC,
    out(0x43, 0x34),
    out(0x40, 0xa9),
    out(0x40, 0x04), // 1193 ticks: about a millisecond
  ]);
  assert.is(machine.runSlice(900_000n), 'limit');
  assert.equal(calls(), []);
  engine.canTakeInterrupts = false;
  machine.runSlice(1_100_000n);
  assert.equal(calls(), ['line true']);
  engine.canTakeInterrupts = true;
  machine.runSlice(1_100_001n);
  assert.equal(calls(), ['line false', 'interrupt 20']);
  const due = machine.nextDeadlineNs()!;
  assert.ok(due > 1_900_000n && due < 2_100_000n, `${due}`);
});

test('near a limit: the engine chooses where; timers are met exactly all the same', () => {
  const { engine, machine, calls } = setUp([
    ...INIT_PIC,
    out(0x43, 0x34),
    out(0x40, 0xa9),
    out(0x40, 0x04),
  ]);
  engine.endsEarly = 300n;
  assert.is(machine.runSlice(900_000n, 'near'), 'limit');
  assert.is(machine.position, 899_700n);
  assert.is(machine.runSlice(899_900n, 'near'), 'limit', 'always one further');
  assert.is(machine.position, 899_701n);
  assert.is(machine.runSlice(900_000n), 'limit');
  assert.is(machine.position, 900_000n);
  const due = machine.nextDeadlineNs()!;
  machine.runSlice(due + 100n, 'near');
  assert.is(machine.position, due + 1n, 'the timer at its position, then one further');
  assert.equal(calls(), ['line true', 'line false', 'interrupt 20']);
});

test('an idle guest: the slice ends, a clock step to the deadline wakes it', () => {
  const { machine, calls } = setUp([
    ...INIT_PIC,
    out(0x43, 0x30),
    out(0x40, 0xff),
    out(0x40, 0xff),
    { reason: ExitReason.halt, retires: 1 },
  ]);
  assert.is(machine.runSlice(1n << 60n), 'idle');
  assert.is(machine.isHalted, true);
  const position = machine.position;
  const due = machine.nextDeadlineNs()!;
  calls();
  machine.inject({ kind: 'clock-step', ns: due, multiplier: MULTIPLIER_ONE * 2n });
  assert.is(machine.position, position);
  assert.is(machine.nowNs(), due);
  assert.is(machine.isHalted, false);
  assert.equal(calls(), [
    `tsc ${due} ${MULTIPLIER_ONE * 2n}`,
    'line true',
    'line false',
    'interrupt 20',
  ]);
});

test('a kick ends the slice one instruction further, where a limit finds it again', () => {
  const kick = { reason: ExitReason.kick };
  const plain = setUp([{ ...kick, retires: 5 }]);
  assert.is(plain.machine.runSlice(100n), 'kick');
  assert.is(plain.machine.position, 6n);

  const inRead = setUp([{ ...input(0x3fd), retires: 5 }, kick]);
  assert.is(inRead.machine.runSlice(100n), 'kick');
  assert.is(inRead.machine.position, 6n, 'the reading instruction retired first');
  assert.is(inRead.machine.runSlice(100n), 'limit', 'one kick, one end');
});

test('serial bytes come in through the door and raise their line', () => {
  const { machine, calls } = setUp([...INIT_PIC, out(0x3fc, 8), out(0x3f9, 1)]);
  machine.runSlice(50n);
  machine.inject({ kind: 'serial-rx', port: 'com1', bytes: Uint8Array.of(0x61) });
  assert.equal(calls(), ['line true', 'line false', 'interrupt 24']);
});

test('power: reset ports, triple fault, button; the machine stays stopped', () => {
  const cases: [ScriptedExit, string][] = [
    [out(0x64, 0xfe), 'reset'],
    [out(0xcf9, 0x06), 'reset'],
    [out(0x92, 0x01), 'reset'],
    [{ reason: ExitReason.shutdown }, 'triple-fault'],
  ];
  for (const [exit, event] of cases) {
    const { machine, outputs } = setUp([exit]);
    assert.is(machine.runSlice(100n), 'stopped');
    assert.equal(outputs, [{ kind: 'power', event }]);
    assert.is(machine.stopReason?.kind, event);
    assert.is(machine.runSlice(200n), 'stopped');
    assert.ok(machine.position < 100n);
  }
  const { machine } = setUp([]);
  machine.inject({ kind: 'control', action: 'power-button' });
  assert.is(machine.stopReason?.kind, 'off');
});

test('debug exit carries its code', () => {
  const { machine, outputs } = setUp([out(0xf4, 0x2a)]);
  assert.is(machine.runSlice(100n), 'stopped');
  assert.equal(machine.stopReason, { kind: 'debug-exit', code: 0x2a });
  assert.equal(outputs, [{ kind: 'debug-exit', code: 0x2a }]);
});

test('a handler that interrupts itself cannot hold the machine at one position', () => {
  // Automatic end of interrupt, a level line that stays high, an engine that always takes it.
  const { machine, calls } = setUp([
    out(0x20, 0x11),
    out(0x21, 0x20),
    out(0x21, 0x04),
    out(0x21, 0x03),
    out(0xa0, 0x11),
    out(0xa1, 0x28),
    out(0xa1, 0x02),
    out(0xa1, 0x03),
  ]);
  machine.runSlice(20n);
  machine.pic.line(9).set(true);
  calls();
  assert.is(machine.runSlice(23n), 'limit');
  assert.is(machine.position, 23n);
  const deliveries = calls().filter((call) => call.startsWith('interrupt')).length;
  assert.ok(deliveries >= 8 && deliveries <= 32, `${deliveries}`);
});

test('NMI reaches the engine', () => {
  const { machine, calls } = setUp([]);
  machine.inject({ kind: 'control', action: 'nmi' });
  assert.equal(calls(), ['nmi']);
});

test('inputs find the plugged ends, and our own mistakes throw', () => {
  const seen: string[] = [];
  const { machine } = setUp([], ({ ram, drawSeed }) => {
    assert.is(ram.bytes, 4 * MIB);
    assert.not.equal(drawSeed(), drawSeed());
    return {
      nics: [{ receive: (frame) => seen.push(`frame of ${frame.length}`) }],
      disks: [
        {
          complete: (id, status, data) => {
            seen.push(`disk ${id} ${status} ${data?.length}`);
            return true;
          },
        },
      ],
      console: { receive: (bytes) => seen.push(`console ${bytes.length}`), waitingBytes: 0 },
    };
  });
  machine.inject({ kind: 'net-rx', nic: 0, frame: new Uint8Array(60) });
  machine.inject({
    kind: 'disk-completion',
    disk: 0,
    id: 3,
    status: 'ok',
    data: new Uint8Array(512),
  });
  machine.inject({ kind: 'serial-rx', port: 'console', bytes: Uint8Array.of(1) });
  assert.equal(seen, ['frame of 60', 'disk 3 ok 512', 'console 1']);
  assert.throws(() => machine.inject({ kind: 'net-rx', nic: 1, frame: new Uint8Array(60) }));
  assert.throws(() => machine.inject({ kind: 'clock-step', ns: -1n, multiplier: 1n }));
  assert.throws(() => setUp([]).machine.inject({ kind: 'serial-break', port: 'console' }));
});

test('too little or odd memory is our mistake', () => {
  const { engine } = setUp([]);
  for (const bytes of [MIB, 4 * MIB + 1]) {
    assert.throws(
      () =>
        new Machine({
          engine,
          memory: new MemoryBanks([new Uint8Array(bytes)]),
          output: () => {},
          epochSeconds: 0,
          entropySeed: new Uint8Array(32),
          multiplier: MULTIPLIER_ONE,
          plug: undefined,
        }),
    );
  }
});

test('the machine cannot be entered from inside', () => {
  const failures: unknown[] = [];
  const engine = new ScriptedEngine([out(0x3f8, 1)]);
  const machine: Machine = new Machine({
    engine,
    memory: new MemoryBanks([new Uint8Array(4 * MIB)]),
    output: () => {
      for (const enter of [
        () => machine.runSlice(5n),
        () => machine.inject({ kind: 'control', action: 'nmi' }),
      ]) {
        try {
          enter();
        } catch (error) {
          failures.push(error);
        }
      }
    },
    epochSeconds: 0,
    entropySeed: new Uint8Array(32),
    multiplier: MULTIPLIER_ONE,
    plug: undefined,
  });
  machine.runSlice(10n);
  assert.is(failures.length, 2);
});

test.run();

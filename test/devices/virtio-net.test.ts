// The network device by driver sequences.
import { NetFeature } from '../../firmware/devices/virtio-net/layout.ts';
import { RX_WAITING_MAX, VirtioNet } from '../../firmware/devices/virtio-net/net.ts';
import { assert, suite } from '../harness/index.ts';
import { INDIRECT, VirtioDriver } from './virtio/driver.ts';
import { TestPc, type Wiring } from './virtio/pc.ts';
import { demandEqualAfterTakeover, type World } from './virtio/script.ts';

const test = suite('devices/virtio-net');

const MAC = Uint8Array.of(0x52, 0x54, 0, 1, 2, 3);
const HEADER_BYTES = 12;
const RX_BUFFER_BYTES = 1530;
const RX = 0;
const TX = 1;

const build = ({ ram, intx, output }: Wiring) =>
  new VirtioNet({ ram, intx, output, nic: 1, mac: MAC });

function setUp(features = [NetFeature.mac, NetFeature.status]) {
  const pc = new TestPc(build);
  const driver = new VirtioDriver(pc).start(features);
  return { pc, driver, rx: driver.queues[RX]!, tx: driver.queues[TX]! };
}

const frame = (bytes: number, fill = 7) => new Uint8Array(bytes).fill(fill);

function packet(payload: Uint8Array, header = new Uint8Array(HEADER_BYTES)): Uint8Array {
  return new Uint8Array(Buffer.concat([header, payload]));
}

test('says its MAC address and that the link is up', () => {
  const { pc, driver } = setUp();
  assert.is(pc.configRead(2, 2), 0x1041);
  const mac = [0, 1, 2, 3, 4, 5].map((at) => driver.deviceConfig(at, 1));
  assert.equal(mac, [...MAC]);
  assert.is(driver.deviceConfig(6, 2), 1);
  assert.ok(driver.offers(NetFeature.mac) && driver.offers(NetFeature.status));
  for (const mac of [Uint8Array.of(1, 2, 3), Uint8Array.of(1, 0, 0, 0, 0, 0)])
    assert.throws(() => new VirtioNet({ ...pc.device, mac } as never), /MAC address/);
});

test("sends the guest's frames, however cut", () => {
  const { pc, tx } = setUp();
  const whole = packet(Uint8Array.from({ length: 100 }, (_, i) => i));
  tx.add({ readable: [whole] });
  tx.add({ readable: [whole.subarray(0, 12), whole.subarray(12)] });
  tx.add({ readable: [whole.subarray(0, 5), whole.subarray(5, 40), whole.subarray(40)] });
  assert.equal(pc.outputs, []);
  tx.kick();
  const expected = { kind: 'net-tx', nic: 1, frame: whole.subarray(12) };
  assert.equal(pc.takeOutputs(), [expected, expected, expected]);
  assert.equal(
    tx.collect().map(({ bytesWritten }) => bytesWritten),
    [0, 0, 0],
  );
  assert.is(pc.interrupt, true);
});

test('what was sent is a copy: the guest may reuse its buffer at once', () => {
  const { pc, driver, tx } = setUp();
  tx.add({ readable: [packet(frame(60, 1))] });
  tx.kick();
  driver.ram.fill(0x10000, 0x20000, 0);
  const [output] = pc.takeOutputs();
  assert.ok(output?.kind === 'net-tx' && output.frame.every((byte) => byte === 1));
});

test('refuses to send what is no frame, with reasons, and goes on', () => {
  const { pc, tx } = setUp();
  const offload = new Uint8Array(HEADER_BYTES);
  offload[1] = 1;
  const checksum = new Uint8Array(HEADER_BYTES);
  checksum[0] = 1;
  for (const bad of [
    new Uint8Array(0),
    new Uint8Array(11),
    packet(frame(0)),
    packet(frame(13)),
    packet(frame(1519)),
    packet(frame(60), offload),
    packet(frame(60), checksum),
  ])
    tx.add({ readable: [bad] });
  tx.add({ writable: [100] });
  for (const good of [14, 60, 1514, 1518]) tx.add({ readable: [packet(frame(good))] });
  tx.kick();
  assert.equal(
    pc.takeOutputs().map((output) => output.kind === 'net-tx' && output.frame.length),
    [14, 60, 1514, 1518],
  );
  assert.is(tx.collect().length, 12);
  const { txBadLength, txOffload, txFrames } = pc.device.counters;
  assert.equal([txBadLength, txOffload, txFrames], [6, 2, 4]);
});

test('receives into the buffers, in order, with a clean header', () => {
  const { pc, rx } = setUp();
  for (let i = 0; i < 3; i++) rx.add({ writable: [RX_BUFFER_BYTES] });
  rx.kick();
  pc.device.receive(frame(60, 1));
  assert.is(pc.interrupt, true);
  pc.device.receive(frame(1518, 2));
  const used = rx.collect();
  assert.equal(
    used.map(({ token, bytesWritten }) => [token, bytesWritten]),
    [
      [1, 72],
      [2, 1530],
    ],
  );
  assert.equal(used[0]?.data.subarray(0, 12), Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0));
  assert.equal(used[0]?.data.subarray(12, 72), frame(60, 1));
  assert.is(used[0]?.data[72], 0xee);
  assert.equal(used[1]?.data.subarray(12), frame(1518, 2));
});

test('frames wait for buffers in order; a full queue drops the newest', () => {
  const { pc, rx } = setUp();
  for (let i = 0; i < RX_WAITING_MAX + 5; i++) pc.device.receive(frame(60, i));
  assert.is(pc.device.counters.rxWaitingFull, 5);
  assert.is(pc.interrupt, false);
  const got: number[] = [];
  while (got.length < RX_WAITING_MAX) {
    for (let i = 0; i < 100; i++) rx.add({ writable: [100] });
    rx.kick();
    got.push(...rx.collect().map(({ data }) => data[12]!));
  }
  assert.equal(
    got,
    Array.from({ length: RX_WAITING_MAX }, (_, i) => i % 256),
  );
});

test('frames for nobody are dropped: no driver, reset, odd lengths, small buffers', () => {
  const { pc, driver, rx } = setUp();
  pc.device.receive(frame(60));
  driver.setStatus(0);
  pc.device.receive(frame(60));
  assert.is(pc.device.counters.rxNoDriver, 1);
  driver.start();
  const again = driver.queues[RX]!;
  assert.is.not(again, rx);
  again.add({ writable: [71] });
  again.add({ writable: [12, 30, 30] });
  again.kick();
  assert.equal(again.collect(), [], 'the frame from before the reset is gone');
  for (const bytes of [0, 13, 1519, 9000]) pc.device.receive(frame(bytes));
  assert.is(pc.device.counters.rxBadLength, 4);
  pc.device.receive(frame(60));
  pc.device.receive(frame(60));
  assert.equal(
    again.collect().map(({ bytesWritten }) => bytesWritten),
    [0, 72],
  );
  assert.is(pc.device.counters.rxBufferTooSmall, 1);
});

test('a frame given by the host may be changed by the host afterwards', () => {
  const { pc, rx } = setUp();
  const given = frame(60, 1);
  pc.device.receive(given);
  given.fill(9);
  rx.add({ writable: [100] });
  rx.kick();
  assert.is(rx.collect()[0]?.data[12], 1);
});

function randomStep({ pc, driver, random, log }: World): void {
  const [rx, tx] = [driver.queues[RX]!, driver.queues[TX]!];
  const choice = random.int(20);
  if (choice < 6) {
    pc.device.receive(random.bytes(random.pick([13, 14, 60, 200, 1518, 1519])));
  } else if (choice < 10 && rx.freeSlots > 3) {
    const sizes = random.pick([[1530], [12, 600], [50], [5, 5, 700]]);
    rx.add({ writable: sizes, indirect: random.chance(0.5) });
    if (random.chance(0.7)) rx.kick();
  } else if (choice < 16 && tx.freeSlots > 3) {
    const bytes = packet(random.bytes(random.pick([10, 60, 300])));
    tx.add({
      readable: random.chance(0.5) ? [bytes] : [bytes.subarray(0, 12), bytes.subarray(12)],
      indirect: random.chance(0.3),
    });
    if (random.chance(0.7)) tx.kick();
  } else if (choice === 16) {
    rx.suppressInterrupts(random.chance(0.5));
  } else if (choice === 17) {
    log.push(driver.takeInterrupt(random.int(2)));
  } else if (choice === 18) {
    log.push(rx.collect(), tx.collect());
  } else if (random.chance(0.1)) {
    driver.start(random.chance(0.5) ? [INDIRECT] : [INDIRECT, NetFeature.mac]);
  }
}

test('a takeover in the middle changes nothing', () => {
  demandEqualAfterTakeover({ label: 'net', build, step: randomStep, scripts: 60, steps: 150 });
});

test.run();

// The console device by driver sequences.

import type { Output } from '../../firmware/devices/contracts.ts';
import {
  RX_WAITING_BYTES_MAX,
  TX_BYTES_MAX,
  VirtioConsole,
} from '../../firmware/devices/virtio-console/console.ts';
import { assert, suite } from '../harness/index.ts';
import { VirtioDriver } from './virtio/driver.ts';
import { TestPc, type Wiring } from './virtio/pc.ts';
import { demandEqualAfterTakeover } from './virtio/script.ts';

const test = suite('devices/virtio-console');

const build = ({ ram, intx, output }: Wiring) => new VirtioConsole({ ram, intx, output });
const bytesOf = (value: string) => new TextEncoder().encode(value);

function setUp() {
  const pc = new TestPc(build);
  const driver = new VirtioDriver(pc).start();
  return { pc, driver, rx: driver.queues[0]!, tx: driver.queues[1]! };
}

const said = (outputs: Output[]) =>
  String.fromCharCode(
    ...outputs.flatMap((output) => {
      assert.ok(output.kind === 'serial-tx' && output.port === 'console');
      return output.kind === 'serial-tx' ? [output.byte] : [];
    }),
  );

test('the guest speaks', () => {
  const { pc, tx } = setUp();
  tx.add({ readable: [bytesOf('hel'), bytesOf('lo ')] });
  tx.add({ readable: [bytesOf('there')], indirect: false });
  tx.kick();
  assert.is(said(pc.takeOutputs()), 'hello there');
  assert.is(tx.collect().length, 2);
  assert.is(pc.interrupt, true);
});

test('the guest is spoken to: as much as its buffers hold, the rest waits', () => {
  const { pc, rx } = setUp();
  pc.device.receive(bytesOf('abcdefgh'));
  rx.add({ writable: [3] });
  rx.add({ writable: [2, 2] });
  rx.kick();
  const text = () =>
    rx
      .collect()
      .map(({ data, bytesWritten }) => String.fromCharCode(...data.slice(0, bytesWritten)));
  assert.equal(text(), ['abc', 'defg']);
  rx.add({ writable: [10] });
  rx.add({ writable: [10] });
  rx.kick();
  assert.equal(text(), ['h']);
  pc.device.receive(bytesOf('ij'));
  assert.equal(text(), ['ij']);
});

test('what is too much is dropped and counted', () => {
  const { pc, driver, tx } = setUp();
  pc.device.receive(new Uint8Array(RX_WAITING_BYTES_MAX + 7));
  pc.device.receive(new Uint8Array(3));
  assert.is(pc.device.counters.rxWaitingFull, 10);
  tx.add({ readable: [new Uint8Array(TX_BYTES_MAX), bytesOf('beyond')] });
  tx.kick();
  assert.is(pc.takeOutputs().length, TX_BYTES_MAX);
  assert.is(pc.device.counters.txTooLong, 6);
  driver.setStatus(0);
  pc.device.receive(bytesOf('lost'));
  assert.is(pc.device.counters.rxNoDriver, 4);
});

test('a takeover in the middle changes nothing', () => {
  demandEqualAfterTakeover({
    label: 'console',
    build,
    scripts: 60,
    steps: 100,
    step: ({ pc, driver, random, log }) => {
      const [rx, tx] = [driver.queues[0]!, driver.queues[1]!];
      if (random.chance(0.4)) pc.device.receive(random.bytes(random.int(30)));
      if (random.chance(0.3) && rx.freeSlots > 2) rx.add({ writable: [random.int(20), 3] });
      if (random.chance(0.3) && tx.freeSlots > 2) tx.add({ readable: [random.bytes(5)] });
      if (random.chance(0.5)) random.pick([rx, tx]).kick();
      if (random.chance(0.2)) log.push(rx.collect(), tx.collect(), driver.takeInterrupt());
      if (random.chance(0.01)) driver.start();
    },
  });
});

test.run();

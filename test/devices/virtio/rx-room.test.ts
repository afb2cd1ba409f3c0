// The room where received frames and bytes wait: who is counted how, and what is saved.
import type { Chain } from '../../../firmware/devices/virtio/chain.ts';
import type { VirtioPci } from '../../../firmware/devices/virtio/pci.ts';
import { RxRoom } from '../../../firmware/devices/virtio/rx-room.ts';
import { assert, suite } from '../../harness/index.ts';

const test = suite('devices/virtio/rx-room');

class FakePci {
  ready = true;
  buffers = 0;
  isReady(): boolean {
    return this.ready;
  }
  drain(_queue: number, handle: (chain: Chain) => void, wants: () => boolean): void {
    while (this.buffers > 0 && wants()) {
      this.buffers--;
      handle({} as Chain);
    }
  }
}

function setUp(unitsMax = 3) {
  const pci = new FakePci();
  const counters = { rxNoDriver: 0, rxWaitingFull: 0 };
  const got: number[] = [];
  const room: RxRoom<number> = new RxRoom({
    ...{ pci: pci as unknown as VirtioPci, queue: 0, unitsMax },
    deliver: () => got.push(room.take()),
  });
  return { pci, room, counters, got };
}

test('waits in order for buffers, and takes no more of them than it needs', () => {
  const { pci, room, counters, got } = setUp();
  room.receive([1, 2], counters);
  assert.equal(got, []);
  pci.buffers = 5;
  room.serve();
  room.receive([3], counters);
  assert.equal(got, [1, 2, 3]);
  assert.is(pci.buffers, 2);
  assert.throws(() => room.take(), /nothing waits/);
});

test('without a driver all is lost, a full room loses the newest', () => {
  const { pci, room, counters } = setUp();
  pci.ready = false;
  room.receive([1, 2], counters);
  assert.equal([counters, room.length], [{ rxNoDriver: 2, rxWaitingFull: 0 }, 0]);
  pci.ready = true;
  room.receive(Uint8Array.of(1, 2, 3, 4, 5), counters);
  assert.equal(counters, { rxNoDriver: 2, rxWaitingFull: 2 });
  assert.equal(room.units(), [1, 2, 3]);
});

test('the newest is kept in another form only while it waits; all of it is saved', () => {
  const { room, counters } = setUp();
  room.keepNewest((unit) => unit + 1);
  room.receive([1, 2], counters);
  room.keepNewest((unit) => unit * 10);
  const saved = room.units();
  assert.equal(saved, [1, 20]);
  room.clear();
  assert.is(room.length, 0);
  room.restore(saved);
  assert.equal(room.units(), [1, 20]);
});

test.run();

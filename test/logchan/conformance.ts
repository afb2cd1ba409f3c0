// What every port must do, whatever carries the frames. Each test gets a fresh port whose other end
// sends back every frame. Order is not demanded: even a veth reorders when a sender changes its CPU.
import { ETHERNET_PAYLOAD_BYTES_MIN, FRAME_BYTES_BASE } from '../../logchan/limits.ts';
import type { LinkState, Port, PortHandler } from '../../logchan/port.ts';
import { assert, type Suite, seededRandom } from '../harness/index.ts';

export interface Bench {
  port: Port;
  /** Takes the port's far end away. */
  end(): Promise<void> | void;
}

/** Collects what a port says, and lets a test wait for it. */
class Listener implements PortHandler {
  readonly frames: Uint8Array[] = [];
  warmedUp = false;
  linkNow: LinkState | undefined;
  onFrame: (() => void) | undefined;
  onBatchEnd: (() => void) | undefined;
  private wake: (() => void) | undefined;

  frame(bytes: Uint8Array, start: number, end: number): void {
    const frame = bytes.slice(start, end);
    if (numberOf(frame) === WARM_UP) this.warmedUp = true;
    else this.frames.push(frame);
    this.onFrame?.();
  }

  batchEnd(): void {
    this.onBatchEnd?.();
    this.wake?.();
  }

  writable(): void {
    this.wake?.();
  }

  link(state: LinkState): void {
    this.linkNow = state;
    this.wake?.();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}

/** A frame that says its length and number, so that padding and order can be seen. */
function makeFrame(number: number, length: number): Uint8Array {
  const bytes = seededRandom(`frame ${number}`).bytes(length);
  new DataView(bytes.buffer).setUint16(0, length);
  new DataView(bytes.buffer).setUint16(2, number);
  return bytes;
}

const numberOf = (frame: Uint8Array) => ((frame[2] ?? 0) << 8) | (frame[3] ?? 0);
const byNumber = (a: Uint8Array, b: Uint8Array) => numberOf(a) - numberOf(b);
const WARM_UP = 0xffff;

function send(port: Port, frame: Uint8Array): boolean {
  const slot = port.slot();
  if (slot === undefined) return false;
  assert.ok(frame.length <= slot.length);
  slot.set(frame);
  port.queue(frame.length);
  return true;
}

function demandEcho(echoed: Uint8Array | undefined, sent: Uint8Array): void {
  assert.ok(echoed !== undefined);
  assert.is(Buffer.compare(echoed.subarray(0, sent.length), sent), 0, `${sent.length} bytes`);
  const padded = Math.max(sent.length, ETHERNET_PAYLOAD_BYTES_MIN);
  assert.ok(echoed.length === sent.length || echoed.length === padded, `${echoed.length} bytes`);
}

/** Sends until the path is warm (addresses resolved, the other end running). */
async function warm(port: Port, listener: Listener): Promise<void> {
  const timer = setInterval(() => {
    send(port, makeFrame(WARM_UP, 100));
    port.flush();
  }, 10);
  await listener.until(() => listener.warmedUp);
  clearInterval(timer);
}

export function conformance(
  test: Suite,
  name: string,
  makeBench: () => Promise<Bench>,
  { bindsLater = false } = {},
): void {
  const check = (
    what: string,
    body: (port: Port, listener: Listener, link: LinkState) => Promise<void> | void,
  ) =>
    test(
      `${name}: ${what}`,
      async () => {
        const bench = await makeBench();
        try {
          const listener = new Listener();
          const link = bench.port.start(listener);
          if (bindsLater && !link.up) await listener.until(() => listener.linkNow !== undefined);
          await body(bench.port, listener, listener.linkNow ?? link);
        } finally {
          bench.port.close();
          await bench.end();
        }
      },
      { timeoutMs: 20_000 },
    );

  check('starts with its link up, once', (port, listener, link) => {
    assert.ok(link.up && link.frameBytesMax >= FRAME_BYTES_BASE);
    assert.throws(() => port.start(listener), /starts once/);
  });

  check('frames of every size arrive whole, there and back', async (port, listener, link) => {
    await warm(port, listener);
    const sizes = [
      4,
      20,
      45,
      46,
      47,
      60,
      100,
      1279,
      1280,
      link.frameBytesMax - 1,
      link.frameBytesMax,
    ];
    for (const [i, size] of sizes.entries()) {
      const frame = makeFrame(i + 10, size);
      send(port, frame);
      port.flush();
      await listener.until(() => listener.frames.length > i);
      demandEcho(listener.frames[i], frame);
    }
    assert.is(port.slot()?.length, link.frameBytesMax, 'a slot holds the largest frame, no more');
  });

  check('frames queued together all arrive', async (port, listener) => {
    await warm(port, listener);
    const frames = Array.from({ length: 48 }, (_, i) => makeFrame(i, 64 + i));
    for (const frame of frames) assert.ok(send(port, frame), 'room for a burst');
    port.flush();
    await listener.until(() => listener.frames.length >= frames.length);
    const echoed = listener.frames.sort(byNumber);
    for (const [i, frame] of frames.entries()) demandEcho(echoed[i], frame);
  });

  check(
    'many frames, sent as room allows and from inside the callbacks',
    async (port, listener) => {
      await warm(port, listener);
      const total = 3000;
      let sent = 0;
      const fill = () => {
        while (
          sent < total &&
          sent - listener.frames.length < 32 &&
          send(port, makeFrame(sent, 200))
        ) {
          sent++;
        }
        port.flush();
      };
      listener.onBatchEnd = fill;
      fill();
      await listener.until(() => {
        if (listener.frames.length < total) fill();
        return listener.frames.length >= total;
      });
      for (const [i, frame] of listener.frames.entries()) {
        assert.is(new DataView(frame.buffer, frame.byteOffset).getUint16(2), i);
      }
    },
  );

  check('a port that takes no more says so, and when it does again', async (port, listener) => {
    await warm(port, listener);
    let sent = 0;
    // Without a turn of the event loop some ports can never be full; that is no fault.
    while (sent < 5000 && send(port, makeFrame(sent, 1000))) sent++;
    assert.ok(sent >= 48);
    if (sent < 5000) assert.is(port.slot(), undefined);
    port.flush();
    await listener.until(() => port.slot() !== undefined && listener.frames.length > 0);
    const { received } = port.counters();
    assert.ok(received > 0);
  });

  check('follows its peer to one address and back to all', async (port, listener) => {
    await warm(port, listener);
    listener.onFrame = () => port.adoptSender();
    for (const step of ['learn', 'address', 'all again']) {
      listener.frames.length = 0;
      if (step === 'all again') {
        listener.onFrame = undefined;
        port.forgetPeer();
      }
      send(port, makeFrame(7, 300));
      port.flush();
      await listener.until(() => listener.frames.length === 1);
      demandEcho(listener.frames[0], makeFrame(7, 300));
    }
  });

  check('counts what passes', async (port, listener) => {
    await warm(port, listener);
    // The last of the warming up may still be under way.
    for (let seen = -1; seen !== port.counters().received; ) {
      seen = port.counters().received;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const before = port.counters();
    for (let i = 0; i < 10; i++) send(port, makeFrame(i, 100));
    port.flush();
    await listener.until(() => listener.frames.length === 10);
    const after = port.counters();
    assert.is(after.received - before.received, 10);
    assert.is(after.sent - before.sent, 10);
    assert.equal(
      [after.overrun, after.oversized, after.foreign, after.unsent],
      [before.overrun, before.oversized, before.foreign, before.unsent],
    );
  });

  check('closes inside a callback, twice, and is silent then', async (port, listener) => {
    await warm(port, listener);
    for (let i = 0; i < 20; i++) send(port, makeFrame(i, 100));
    let closed = false;
    const done = new Promise<void>((resolve) => {
      listener.onFrame = () => {
        assert.not.ok(closed, 'a frame after close()');
        closed = true;
        port.close();
        port.close();
        setTimeout(resolve, 50);
      };
    });
    port.flush();
    await done;
    assert.is(port.slot(), undefined);
    assert.is(port.counters().received > 0, true);
  });
}

// A guest with RTS/CTS on COM2 at a socket: it sleeps while 2 MiB come in, and its reader sleeps while it sends.
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Guest } from '../../../firmware/host/guest.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { buildGuest, needsGcc } from '../../softcpu/guest.ts';
import { fnv1a } from './fnv.ts';

const test = suite('host/serial/flow');
test.needs(needsGcc());
const LONG = { timeoutMs: 150_000 };

/** Bytes that come, and waiting for some. */
class Ear {
  text = '';
  readonly chunks: Buffer[] = [];
  bytes = 0;
  private wake: () => void = () => {};

  constructor(socket: Socket) {
    socket.on('data', (bytes: Buffer) => {
      this.chunks.push(bytes);
      this.bytes += bytes.length;
      this.text = Buffer.concat([Buffer.from(this.text, 'latin1'), bytes.subarray(0, 200)])
        .toString('latin1')
        .slice(-400);
      this.wake();
    });
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}

async function guest(total: number, ...defines: string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-flow-'));
  const [com1, com2] = [join(folder, 'com1'), join(folder, 'com2')];
  const kernel = readFileSync(buildGuest('flow', `TOTAL=${total}`, ...defines));
  const running = await Guest.start(
    {
      ...{
        memoryBytes: 8 << 20,
        kernel: new Uint8Array(kernel),
        initrd: undefined,
        commandLine: '',
      },
      ...{ rebootsOnReset: false, engine: 'soft', disks: [], nets: [] },
      serial: {
        com1: { kind: 'socket', path: com1 },
        com2: { kind: 'socket', path: com2 },
        console: { kind: 'none' },
      },
    },
    () => {},
  );
  const console = connect(com1);
  const bus = connect(com2);
  await Promise.all([once(console, 'connect'), once(bus, 'connect')]);
  const end = async () => {
    console.destroy();
    bus.destroy();
    running.stop();
    await running.end();
  };
  return { console: new Ear(console), bus, end };
}

test(
  'what comes in while the guest holds RTS low waits with its sender; all of it arrives, in order',
  async () => {
    const total = 2 << 20;
    const { console, bus, end } = await guest(total);
    const sent = seededRandom('flow').bytes(total);
    bus.write(sent);
    await console.until(() => console.text.includes('done'));
    const none = '0'.repeat(16);
    assert.match(console.text, `lost ${none} hash ${fnv1a(sent)}`);
    await end();
  },
  LONG,
);

test(
  'a reader that sleeps lowers CTS: the guest waits, and nothing of what it sends is lost',
  async () => {
    const total = 1 << 19;
    const { console, bus, end } = await guest(total, 'SENDS');
    bus.pause();
    bus.write(seededRandom('flow').bytes(total));
    const ear = new Ear(bus);
    // All that lies between guest and reader fills up.
    await console.until(() => /held|done/.test(console.text));
    assert.match(console.text, 'held');
    bus.resume();
    await ear.until(() => ear.bytes >= total);
    await console.until(() => console.text.includes('done'));
    const expected = Uint8Array.from({ length: total }, (_, n) => n * 31 + (n >> 8));
    assert.is(Buffer.compare(Buffer.concat(ear.chunks), expected), 0);
    await end();
  },
  LONG,
);

test.run();

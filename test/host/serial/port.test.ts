// A serial port of the host as a guest's line, on pseudo-terminals: bytes both ways, who is behind is waited for,
// settings as the guest makes them, and a port that goes and comes back.
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, readSync, rmSync, symlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LineSettings } from '../../../firmware/host/serial/guest-lines.ts';
import type { SerialLine } from '../../../firmware/host/serial/line.ts';
import { portLine } from '../../../firmware/host/serial/port.ts';
import { openPty } from '../../../native/index.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { until } from '../../watchdog/pty.ts';

const test = suite('host/serial/port');
const folder = mkdtempSync(join(tmpdir(), 'twinstep-port-'));
const path = join(folder, 'tty');
let line: SerialLine | undefined;
let far: Far;
test.after.each(async () => {
  await line?.close();
  far.pull();
});
test.after(() => rmSync(folder, { recursive: true }));

/** The device at the other end of the wire; the port has a name that stays. */
class Far {
  readonly path: string;
  read: Buffer = Buffer.alloc(0);
  private readonly slave: number;
  private master: number | null;

  constructor() {
    const { master, slave, path: name } = openPty(true);
    [this.master, this.slave, this.path] = [master, slave, name];
    rmSync(path, { force: true });
    symlinkSync(name, path);
  }

  /** How much the wire took. */
  send(bytes: Uint8Array): number {
    try {
      return this.master === null ? 0 : writeSync(this.master, bytes);
    } catch {
      return 0;
    }
  }

  /** What has come since. */
  take(): number {
    const buffer = Buffer.alloc(65_536);
    for (;;) {
      let count = 0;
      try {
        count = this.master === null ? 0 : readSync(this.master, buffer);
      } catch {
        // Nothing more just now.
      }
      if (count === 0) return this.read.length;
      this.read = Buffer.concat([this.read, buffer.subarray(0, count)]);
    }
  }

  /** The adapter is pulled out. */
  pull(): void {
    if (this.master === null) return;
    closeSync(this.master);
    closeSync(this.slave);
    this.master = null;
  }
}

async function open(isHalfDuplex = false) {
  far = new Far();
  const heard = { bytes: Buffer.alloc(0), taken: [] as boolean[], notices: [] as string[] };
  line = await portLine(path, isHalfDuplex, {
    onBytes: (bytes) => {
      heard.bytes = Buffer.concat([heard.bytes, bytes]);
    },
    onLeave: () => {},
    onTaken: (isTaken) => heard.taken.push(isTaken),
    onNotice: (words) => heard.notices.push(words),
  });
  return { line, heard };
}

const SET: LineSettings = {
  ...{ kind: 'serial-line', port: 'com2', baud: 57_600, dataBits: 8, parity: 'none', stopBits: 1 },
  ...{ sendBreak: false, dtr: true, rts: true },
};
const settings = () => spawnSync('stty', ['-a', '-F', far.path], { encoding: 'utf8' }).stdout;

test('bytes pass as they are, both ways; nothing is read while the guest is behind', async () => {
  const { line, heard } = await open();
  const all = Uint8Array.from({ length: 256 }, (_, n) => n);
  line.write(all);
  await until('they came', () => far.take() === 256);
  assert.is(Buffer.compare(far.read, all), 0);
  far.send(all);
  await until('they came back', () => heard.bytes.length === 256);
  assert.is(Buffer.compare(heard.bytes, all), 0);
  line.pause();
  const random = seededRandom('behind').bytes(1 << 20);
  let sent = 0;
  // Full: the sender is held by the wire.
  for (let idle = 0; idle < 20; ) {
    const more = far.send(random.subarray(sent, sent + 4096));
    sent += more;
    idle = more === 0 ? idle + 1 : 0;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.ok(sent < 200_000, `${sent} bytes are under way`);
  line.resume();
  await until('all is sent', () => {
    sent += far.send(random.subarray(sent, sent + 4096));
    return sent === random.length;
  });
  await until('all came', () => heard.bytes.length === 256 + random.length);
  assert.is(Buffer.compare(heard.bytes.subarray(256), random), 0);
});

test('a device that does not read is waited for, told to the guest, and gets all of it', async () => {
  const { line, heard } = await open();
  const bytes = seededRandom('slow').bytes(300_000);
  for (let at = 0; at < bytes.length; at += 1000) line.write(bytes.subarray(at, at + 1000));
  await until('told', () => heard.taken.length === 1);
  assert.equal(heard.taken, [false]);
  await until('all came', () => far.take() === bytes.length);
  assert.is(Buffer.compare(far.read, bytes), 0);
  await until('told', () => heard.taken.length === 2);
  assert.equal(heard.taken, [false, true]);
});

test('rate and frame are what the guest sets, with hardware flow control unless RTS turns a transmitter', async () => {
  const { line } = await open();
  assert.match(settings(), /speed 9600 baud/);
  assert.match(settings(), / crtscts/);
  line.set?.(SET);
  await until('the rate', () => /speed 57600 baud/.test(settings()));
  // A pseudo-terminal keeps 8 bits without parity whatever it is told: stop bits show that the frame is set.
  line.set?.({ ...SET, stopBits: 2 });
  await until('the frame', () => / cstopb/.test(settings()));
  assert.match(settings(), /speed 57600 baud/);
  line.write(Uint8Array.of(1, 2, 3));
  await until('it speaks', () => far.take() === 3);
  await line.close();
  far.pull();
  await open(true);
  assert.match(settings(), /-crtscts/);
});

test('what was said before a setting leaves before it, what is said after it later; a setting loses nothing', async () => {
  const { line, heard } = await open(true);
  const sent: number[] = [];
  for (let n = 0; n < 20; n++) {
    line.set?.({ ...SET, baud: n % 2 === 0 ? 57_600 : 115_200, rts: true });
    line.write(Uint8Array.of(n, n));
    sent.push(n, n);
    far.send(Uint8Array.of(n));
    line.set?.({ ...SET, stopBits: n % 2 === 0 ? 2 : 1, rts: false });
  }
  await until('all came', () => far.take() === sent.length);
  assert.equal([...far.read], sent);
  await until('all was heard', () => heard.bytes.length === 20);
  assert.equal(
    [...heard.bytes],
    Array.from({ length: 20 }, (_, n) => n),
  );
  await until('the last setting', () => /-cstopb/.test(settings()));
});

test('a port that is pulled out is trouble at once, comes back under its name, as it was set', async () => {
  const { line, heard } = await open();
  line.set?.(SET);
  await until('the rate', () => /speed 57600 baud/.test(settings()));
  far.pull();
  line.write(Uint8Array.of(9));
  await until('told', () => line.trouble !== null, 1_000);
  assert.match(line.trouble!, `serial port ${path}: `);
  assert.is(heard.taken.at(-1), false, 'a guest with flow control waits');
  line.write(Uint8Array.of(1, 2, 3));
  far = new Far();
  await until('it is back', () => line.trouble === null);
  await until('what waited', () => far.take() >= 3);
  assert.equal([...far.read.subarray(-3)], [1, 2, 3]);
  assert.match(settings(), /speed 57600 baud/);
  far.send(Uint8Array.of(7));
  await until('it hears', () => heard.bytes.length === 1);
  assert.ok(heard.notices[0]!.startsWith('is lost: ') && heard.notices.at(-1) === `is ${path}`);
});

test('one that is not there is one clear line', async () => {
  far = new Far();
  rmSync(path);
  const events = { onBytes: () => {}, onLeave: () => {} };
  let words = '';
  await portLine(path, false, events).catch((error: Error) => {
    words = error.message;
  });
  assert.match(words, new RegExp(`^serial port ${path}: .*(no such|cannot open)`, 'i'));
});

test.run();

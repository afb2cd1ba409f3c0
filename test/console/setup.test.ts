// Two bare boards, two technicians, a serial cable between them: the first-start wizard by two real
// pseudo-terminals, paired over two more. And everything that can be in the way, which leaves nothing behind.
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../firmware/board/config/load.ts';
import { CobsReader } from '../../watchdog/cobs.ts';
import {
  beginPairing,
  type PairingState,
  pairingMessage,
  stepPairing,
} from '../../watchdog/pairing.ts';
import { FRAME_BYTES_MAX, FrameReader, sealPairing } from '../../watchdog/path-frame.ts';
import { framed } from '../../watchdog/serial-path.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';
import { PtyEnd } from '../watchdog/pty.ts';
import { golden } from './screen.ts';
import { Technician } from './technician.ts';

const test = suite('console/setup');
const LONG = { timeoutMs: 120_000 };
const WHO = { user: 'admin', password: 'long enough' };
const random = seededRandom();
let folder = '';
let benches: Bench[] = [];

/** A bare board with its technician and its end of the serial cable. */
class Bench {
  readonly folder: string;
  readonly file: string;
  readonly serial = new PtyEnd();
  readonly technician: Technician;
  readonly name: string;

  constructor(name: 'a' | 'b') {
    this.name = name;
    this.folder = join(folder, name);
    mkdirSync(this.folder);
    writeFileSync(join(this.folder, 'kernel'), '');
    this.file = join(this.folder, 'board.toml');
    this.technician = new Technician(this.file, WHO);
    benches.push(this);
  }

  async first(): Promise<void> {
    const { technician } = this;
    // Too short, then a typing error: asked again, each time.
    await technician.at('New password for admin: ', 'short\r');
    await technician.sees('at least');
    await technician.at('New password for admin: ', `${WHO.password}\r`);
    await technician.at('Once more: ', 'another one\r');
    await technician.sees('the two differ');
    for (const prompt of ['New password for admin: ', 'Once more: '])
      await technician.at(prompt, `${WHO.password}\r`);
    await technician.at('Set it up now, together with the other one? [yes/no] ', 'yes\r');
    await this.answers();
  }

  /** Every question, with one mistake on the way. */
  async answers(): Promise<void> {
    const { technician } = this;
    const [own, other] = this.name === 'a' ? ['2', '3'] : ['3', '2'];
    await technician.at('Name of this board', `press-7-${this.name}\r`);
    await technician.at('Serial port to the other board', `${this.serial.slavePath}\r`);
    await technician.at('Card of the cable', this.name === 'a' ? 'log0\r' : 'log0 log1\r');
    await technician.at('Card on the plant LAN', 'plant0\r');
    await technician.at('Address of THIS board', '192.168.10\r');
    await technician.sees('must be an IPv4 address');
    await technician.at('Address of THIS board', `192.168.10.${own}\r`);
    await technician.at('Address of the OTHER board', `192.168.10.${other}\r`);
    await technician.at('gateway, or "none"', '192.168.10.1\r');
    await technician.at('Watchdog', 'device\r');
    await technician.at('Kernel of the guest', `${join(this.folder, 'kernel')}\r`);
    await technician.at('initrd', '\r');
    await technician.at('memory in MiB', '\r');
    await technician.at('network card (TAP)', '\r');
    await technician.at('disks', '\r');
    await technician.sees('Waiting for the other board');
  }

  async code(): Promise<string> {
    await this.technician.sees('Type the code that the OTHER console shows: ');
    return /The code of this board: (\d{3} \d{3})/.exec(this.technician.screen.all)![1]!;
  }

  /** Nothing but what was there before. */
  isBare(): void {
    const left = readdirSync(this.folder).filter((name) => !/^(kernel|users)$/.test(name));
    assert.equal(left, [], `board ${this.name}`);
  }
}

/** As the cable carries it, until it is cut. */
function join2(one: Bench, other: Bench): { isCut: boolean; disturb: (bytes: Uint8Array) => void } {
  const cable = {
    isCut: false,
    disturb: (bytes: Uint8Array) => {
      one.serial.write(bytes);
      other.serial.write(bytes);
    },
  };
  one.serial.onData = (bytes) => cable.isCut || other.serial.write(bytes);
  other.serial.onData = (bytes) => cable.isCut || one.serial.write(bytes);
  return cable;
}

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 's'));
  benches = [];
});
test.after.each(async () => {
  for (const bench of benches) {
    await bench.technician.end();
    bench.serial.close();
  }
  rmSync(folder, { recursive: true, force: true });
});

const both = (): [Bench, Bench] => [new Bench('a'), new Bench('b')];

test(
  'two bare boards become a pair: two configurations that hold, one key',
  async () => {
    const [one, other] = both();
    const cable = join2(one, other);
    await Promise.all([one.first(), other.first()]);
    // Noise on the line is no more than noise.
    cable.disturb(random.bytes(300));
    const [mine, theirs] = await Promise.all([one.code(), other.code()]);
    assert.is(mine, theirs);
    one.technician.types(`${theirs}\r`);
    await one.technician.sees('Waiting for the other technician');
    one.isBare();
    other.technician.types(`${mine.replace(' ', '')}\r`);
    for (const { technician } of [one, other]) {
      await technician.sees('The boards are paired, and this one is set up');
      await technician.sees('NO-BOARD# ');
    }
    const loaded = await Promise.all([loadConfig(one.file), loadConfig(other.file)]);
    const [a, b] = loaded;
    assert.equal(a.pairingKey, b.pairingKey);
    assert.is.not(Buffer.from(a.pairingKey).toString('hex'), '00'.repeat(32));
    assert.equal([a.config.side, b.config.side], ['a', 'b'], 'in the order of the names');
    assert.equal(
      [a.config.front.bind, a.config.front.peer],
      [b.config.front.peer, b.config.front.bind],
    );
    assert.equal([a.config.log.interfaces, b.config.log.interfaces], [['log0'], ['log0', 'log1']]);
    assert.is(a.version.pairHash, b.version.pairHash);
    assert.is(statSync(join(one.folder, 'pairing.key')).mode & 0o777, 0o600);
    const kept = one.technician.screen.all
      .replaceAll(mine, '123 456')
      .replaceAll(theirs.replace(' ', ''), '123456')
      .replaceAll(one.serial.slavePath, '/dev/ttyS1')
      .replaceAll(one.folder, '/data')
      .replace(/Twinstep .*/, 'Twinstep X  HOST  LINE')
      .replace(/^Cards of this machine: .*/m, 'Cards of this machine: log0 plant0')
      .replace(/as side [ab]/, 'as side a')
      .replace(/\[[^\]\n]*\](?=: )/g, '[USUAL]')
      .replace(/^.* NO-BOARD# *$/m, 'HOST NO-BOARD#')
      .replace(/^(Waiting for the other board) [\s\S]*?(Ctrl-C ends it\.)/m, '$1: $2');
    golden('setup', `${kept.trimEnd()}\n`);
    one.technician.types('setup\r');
    await one.technician.sees('Refused: there is a');
  },
  LONG,
);

test(
  'a wrong code on one console ends it on both, in words; the next try works',
  async () => {
    const [one, other] = both();
    join2(one, other);
    await Promise.all([one.first(), other.first()]);
    const code = await one.code();
    await other.code();
    const wrong = code === '111 111' ? '222222' : '111111';
    one.technician.types(`${wrong}\r`);
    await one.technician.sees('NOT PAIRED: the codes differ: someone may be on the line');
    other.technician.types(`${code}\r`);
    await other.technician.sees('NOT PAIRED: the other console refused');
    for (const bench of [one, other]) {
      await bench.technician.at('NO-BOARD# ', 'setup\r');
      bench.isBare();
    }
    await Promise.all([one.answers(), other.answers()]);
    one.technician.types('\x03');
    await one.technician.sees('The pairing is stopped.');
    one.isBare();
  },
  LONG,
);

test(
  'the cable is cut after one technician has agreed',
  async () => {
    const [one, other] = both();
    const cable = join2(one, other);
    await Promise.all([one.first(), other.first()]);
    const code = await one.code();
    await other.code();
    cable.isCut = true;
    one.technician.types(`${code}\r`);
    other.technician.types(`${code}\r`);
    for (const bench of [one, other]) {
      await bench.technician.sees('NOT PAIRED: the line went silent in the middle');
      await bench.technician.sees('Nothing is written.');
      bench.isBare();
    }
  },
  LONG,
);

/** Pairs with a board in its own name: what somebody in the middle of the cable does, once on each side. */
class Impostor {
  state: PairingState = beginPairing(random.bytes(32), random.bytes(16));
  private readonly stream = new CobsReader(FRAME_BYTES_MAX);
  private readonly reader = new FrameReader(null);
  private readonly end: PtyEnd;
  readonly timer: NodeJS.Timeout;

  constructor(end: PtyEnd) {
    this.end = end;
    end.onData = (bytes) => this.take(bytes);
    this.timer = setInterval(() => this.say(), 200);
  }

  agree(): void {
    this.state = stepPairing(this.state, { type: 'technician', same: true });
  }

  private take(bytes: Uint8Array): void {
    for (const frame of this.stream.push(bytes)) {
      const read = this.reader.read(frame);
      if (read.ok && read.kind === 'pairing')
        this.state = stepPairing(this.state, { type: 'message', body: read.body });
    }
  }

  private say(): void {
    const message = pairingMessage(this.state);
    if (message !== null) this.end.write(framed(sealPairing(message)));
  }
}

test(
  'somebody in the middle: the two codes differ, the technicians see it, nobody is paired',
  async () => {
    const [one, other] = both();
    const evil = [new Impostor(one.serial), new Impostor(other.serial)];
    try {
      await Promise.all([one.first(), other.first()]);
      const [mine, theirs] = await Promise.all([one.code(), other.code()]);
      assert.is.not(mine, theirs);
      for (const impostor of evil) impostor.agree();
      one.technician.types(`${theirs}\r`);
      other.technician.types(`${mine}\r`);
      for (const bench of [one, other]) {
        await bench.technician.sees('NOT PAIRED: the codes differ: someone may be on the line');
        bench.isBare();
      }
    } finally {
      for (const { timer } of evil) clearInterval(timer);
    }
  },
  LONG,
);

test(
  'a third board speaks on the line: it ends, in words',
  async () => {
    const [one, other] = both();
    const cable = join2(one, other);
    await Promise.all([one.first(), other.first()]);
    await Promise.all([one.code(), other.code()]);
    const third = pairingMessage(beginPairing(random.bytes(32), random.bytes(16)))!;
    cable.disturb(framed(sealPairing(third)));
    for (const bench of [one, other]) {
      bench.technician.types('123456\r');
      await bench.technician.sees('THE BOARDS ARE NOT PAIRED: ');
      bench.isBare();
    }
    assert.match(
      benches
        .map(({ technician }) => technician.screen.all)
        .join('\n')
        .replace(/\n\s*/g, ' '),
      'a second board speaks on this line',
    );
  },
  LONG,
);

test(
  'Ctrl-C, a console that dies, a port that is none: nothing is left',
  async () => {
    const one = new Bench('a');
    await one.first();
    one.technician.types('\x03');
    await one.technician.sees('The pairing is stopped.');
    await one.technician.at('NO-BOARD# ', 'setup\r');
    await one.technician.at('Name of this board', '\x03');
    await one.technician.at('NO-BOARD# ', 'show status\r');
    await one.technician.sees('This board is bare: there is no ');
    one.isBare();
    const other = new Bench('b');
    other.serial.close();
    await other.first();
    await other.technician.sees('NOT PAIRED: the port cannot be used');
    other.isBare();
    assert.match(readFileSync(join(one.folder, 'users'), 'utf8'), /^admin:admin:scrypt/);
  },
  LONG,
);

test.run();

// Captures: the file is what the format says, and tshark with our dissector reads it like FORMAT.md.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Capture, CapturePort, captureCipher } from '../../logchan/capture.ts';
import { Channel } from '../../logchan/channel.ts';
import { NodeCipher } from '../../logchan/cipher.ts';
import { MemoryPort } from '../../logchan/memory-port.ts';
import { assert, needs, repoPath, suite } from '../harness/index.ts';
import { join as joinFields } from './naive-wire.ts';
import { testChannelOptions } from './stream-digest.ts';
import { vectorBytes, vectors } from './vectors.ts';

const test = suite('logchan/capture');

/** Two channels for a moment, one of them captured; the capture file. */
async function captured(opened: boolean): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  const capture = new Capture(
    'memory a',
    (bytes) => parts.push(bytes),
    () => Date.now() * 1000,
  );
  const [a, b] = MemoryPort.pair();
  const cipher = (key: ConstructorParameters<typeof NodeCipher>[0]) => new NodeCipher(key);
  const far = new Channel({ ...testChannelOptions, paths: [{ port: b }], handler: {} });
  const done = new Promise<void>((resolve) => {
    const near = new Channel({
      ...testChannelOptions,
      paths: [{ port: new CapturePort(a, capture) }],
      ...(opened ? { makeCipher: captureCipher(cipher, capture) } : {}),
      handler: {
        event: ({ type }) => {
          if (type === 'up')
            near.append(new TextEncoder().encode('hello message'), { urgent: true });
        },
        acked: () => {
          near.stop();
          resolve();
        },
      },
    });
    near.start();
    far.start();
  });
  await done;
  far.stop();
  return Buffer.concat(parts);
}

/** Blocks of a pcapng file: type and body. */
function blocks(file: Buffer): [number, Buffer][] {
  const found: [number, Buffer][] = [];
  for (let at = 0; at < file.length; ) {
    const length = file.readUInt32LE(at + 4);
    assert.is(length % 4, 0);
    assert.is(file.readUInt32LE(at + length - 4), length, 'the length stands at both ends');
    found.push([file.readUInt32LE(at), file.subarray(at + 8, at + length - 4)]);
    at += length;
  }
  return found;
}

test('a capture is a section, an interface and packets with time and direction', async () => {
  const [section, about, ...packets] = blocks(await captured(false));
  assert.is(section?.[0], 0x0a0d0d0a);
  assert.is(about?.[0], 1);
  assert.ok(packets.length > 5);
  const directions = new Set<number>();
  for (const [type, body] of packets) {
    assert.is(type, 6);
    const timeUs = body.readUInt32LE(4) * 2 ** 32 + body.readUInt32LE(8);
    assert.ok(Math.abs(timeUs - Date.now() * 1000) < 60e6);
    const length = body.readUInt32LE(12);
    const frame = body.subarray(20, 20 + length);
    assert.is(frame.readUInt16BE(12), 0x88b5);
    assert.is(frame.readUInt16BE(14), 0x5457);
    const options = body.subarray(20 + ((length + 3) & ~3));
    assert.equal([options.readUInt16LE(0), options.readUInt16LE(2)], [2, 4]);
    directions.add(options.readUInt32LE(4));
  }
  assert.equal([...directions].sort(), [1, 2]);
});

test('sealed captures tell nothing, opened ones do', async () => {
  assert.not.ok((await captured(false)).includes('hello message'));
  assert.ok((await captured(true)).includes('hello message'));
});

test.run();

const dissector = suite('logchan/capture dissector');
dissector.needs(needs.command('tshark'));
let folder = '';
dissector.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-'));
});
dissector.after(() => rmSync(folder, { recursive: true }));

/** Fields of every packet of a capture, as tshark sees them. */
function tshark(file: Buffer, ...fields: string[]): string[][] {
  const path = join(folder, 'capture.pcapng');
  writeFileSync(path, file);
  const script = repoPath('logchan/dissector/twinstep.lua');
  const args = ['-X', `lua_script:${script}`, '-r', path, '-T', 'fields', '-E', 'separator=|'];
  const out = execFileSync('tshark', [...args, ...fields.flatMap((field) => ['-e', field])], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return out
    .trimEnd()
    .split('\n')
    .map((line) => line.split('|'));
}

function fileOf(add: (capture: Capture) => void): Buffer {
  const parts: Uint8Array[] = [];
  add(
    new Capture(
      'vectors',
      (bytes) => parts.push(bytes),
      () => 1_000_000,
    ),
  );
  return Buffer.concat(parts);
}

dissector(
  'names what the golden vectors hold',
  () => {
    const good = vectors.filter(({ level, reason }) => level === 'frame' && reason === undefined);
    const file = fileOf((capture) => {
      for (const { name, body } of good) {
        const bytes = vectorBytes(name);
        capture.frame(bytes, 'out');
        if (body) capture.opened(bytes.subarray(0, 16), new Uint8Array(joinFields(body)), 'out');
      }
    });
    const seen = tshark(file, '_ws.col.Info');
    assert.equal(
      seen.map(([info]) => info),
      [
        'call #0',
        'answer #0',
        'answer, established #0',
        ...['sealed #1', 'seen 0, log ack 0, bulk ack 0 #1'],
        ...['sealed #2', 'seen 7, log data 0+12, ask #2'],
        ...['sealed #1099511627776', 'seen 4294967301, log ack 8589934609 +2 #1099511627776'],
        ...['sealed #9', 'bulk data 34359738368+64 #9'],
        ...['sealed #10', 'probe 128 #10'],
        ...['sealed #11', 'probed 128 #11'],
        ...['sealed #12', 'bye #12'],
        'sealed #13',
      ],
    );
    const fields = [
      'twinstep.kind',
      'twinstep.session',
      'twinstep.ack.gap',
      'twinstep.seen.held_us',
    ];
    const rows = tshark(file, ...fields);
    const gaps = rows.find(([kind, , gap]) => kind === '0x82' && gap !== '');
    assert.equal(gaps?.slice(2), ['1400,1183', '3']);
  },
  { timeoutMs: 60_000 },
);

dissector(
  'survives what is no frame of ours, and says so',
  () => {
    const bad = vectors.filter(({ reason }) => reason !== undefined);
    const file = fileOf((capture) => {
      for (const { name, level } of bad) {
        const bytes = vectorBytes(name);
        if (level === 'frame') capture.frame(bytes, 'in');
        else capture.opened(vectorBytes('sealed-bye').subarray(0, 16), bytes, 'in');
      }
    });
    const rows = tshark(file, '_ws.lua.error', 'frame.number');
    assert.is(rows.length, bad.length);
    // A section cut short ends in an error Wireshark shows as such, never in a crash of it.
    for (const [error = ''] of rows)
      assert.ok(error === '' || /Range is out of bounds/.test(error), error);
  },
  { timeoutMs: 60_000 },
);

dissector(
  'shows a running channel',
  async () => {
    const infos = tshark(await captured(true), '_ws.col.Info').map(([info = '']) => info);
    for (const word of ['call', 'answer', 'log data 0+12', 'log ack 12', 'bye']) {
      assert.ok(
        infos.some((info) => info.includes(word)),
        `${word} in\n${infos.join('\n')}`,
      );
    }
  },
  { timeoutMs: 60_000 },
);

dissector.run();

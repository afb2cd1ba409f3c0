// A disk that takes nothing: the number of births goes on in memory, it is told, and SCADA has its board.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BdSeqFile } from '../../firmware/scada/bd-seq.ts';
import { ScadaSession } from '../../firmware/scada/session.ts';
import { assert, needs, suite } from '../harness/index.ts';
import { Awaited, bdSeqOf, Host } from './host.ts';
import { hasMosquitto, Mosquitto } from './mosquitto.ts';

const test = suite('scada/full-disk');
test.needs(hasMosquitto);
test.needs(needs.root());

const folder = mkdtempSync(join(tmpdir(), 'twinstep-full-'));
const disk = join(folder, 'disk');
const file = join(disk, 'mqtt.bdseq');
mkdirSync(disk);

test.before(() => void execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk]));
test.after(() => {
  execFileSync('umount', [disk]);
  rmSync(folder, { recursive: true });
});

const fill = (): void => {
  try {
    for (let n = 0; ; n++) writeFileSync(join(disk, `fill${n}`), Buffer.alloc(4096));
  } catch (error) {
    assert.is((error as NodeJS.ErrnoException).code, 'ENOSPC');
  }
};
const empty = (): void => void execFileSync('sh', ['-c', `rm -f ${disk}/fill*`]);

test(
  'a full disk and a broker that restarts: the next number, told, and kept again later',
  async () => {
    const broker = await Mosquitto.start();
    let host = await Host.connect(broker);
    const notices = new Awaited<string>();
    const session = new ScadaSession({
      config: {
        servers: [{ host: '127.0.0.1', port: broker.port, isTls: false }],
        ...{ group: 'plant', node: 'board-a', device: 'guest', primaryHost: undefined },
        ...{ keepaliveS: 5, login: undefined, tls: undefined, statusTopic: undefined },
        homeAssistant: false,
      },
      bdSeqFile: file,
      wallMs: () => Date.now(),
      onNotice: (text) => notices.add(text),
    });
    session.start();
    assert.is(bdSeqOf(await host.kind('NBIRTH')), 0);
    const again = async (): Promise<number> => {
      await host.client.endAsync(true);
      await broker.kill();
      await broker.start();
      host = await Host.connect(broker);
      return bdSeqOf(await host.kind('NBIRTH'));
    };
    fill();
    assert.is(await again(), 1);
    const told = notices.all.filter((text) =>
      /births cannot be kept .* no space is left/.test(text),
    );
    assert.is(told.length, 1);
    assert.is(await again(), 2);
    empty();
    assert.is(await again(), 3);
    await notices.until((text) => text.includes('kept on disk again'));
    assert.is(readFileSync(file, 'latin1'), '3\n');
    await session.stop('test ends');
    await host.client.endAsync(true);
    await broker.close();
  },
  { timeoutMs: 40_000 },
);

test('whatever is in the file, and whatever the disk says, there is a next number', () => {
  for (const [text, first] of [
    ['7\n', 8],
    ['255\n', 0],
    ['999\n', 0],
    ['', 0],
    ['7', 0],
    ['-1\n', 0],
  ] as const) {
    writeFileSync(file, text);
    const numbers = new BdSeqFile(file);
    assert.equal([numbers.trouble, numbers.next()], [null, first], JSON.stringify(text));
  }
  const nowhere = new BdSeqFile(join(folder, 'no', 'such', 'folder'));
  assert.is(nowhere.trouble, null, 'a first start');
  assert.equal([nowhere.next(), nowhere.next()], [0, 1]);
  assert.match(nowhere.trouble as string, 'no such file or directory');
  assert.match(new BdSeqFile(disk).trouble as string, 'is a directory');
});

test.run();

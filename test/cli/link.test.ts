// `twinstep link` as two technicians run it, one on each board.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type End, INTERFACE, Veth } from '../bench/veth.ts';
import { assert, needs, repoPath, suite } from '../harness/index.ts';

const test = suite('cli/link');
test.needs(needs.networkNamespaces());

let veth: Veth;
let folder = '';
test.before(async () => {
  veth = await Veth.make(1500);
  folder = mkdtempSync(join(tmpdir(), 'twinstep-link-'));
});
test.after(() => {
  veth.close();
  rmSync(folder, { recursive: true, force: true });
});

const COMMAND = repoPath('dist/firmware/cli/twinstep.js');

function link(end: End, ...args: string[]) {
  return veth.run(
    end,
    process.execPath,
    COMMAND,
    'link',
    INTERFACE[end],
    '--seconds',
    '0.3',
    ...args,
  );
}

function keyFile(name: string, value: number): string {
  const path = join(folder, name);
  writeFileSync(path, new Uint8Array(32).fill(value), { mode: 0o600 });
  return path;
}

test(
  'two boards find and measure each other',
  async () => {
    const key = keyFile('key', 7);
    const results = await Promise.all(
      (['near', 'far'] as const).map((end) => link(end, '--key', key, '--wait', '15').output()),
    );
    for (const { status, out, err } of results) {
      assert.is(status, 0, out + err);
      assert.match(out, /peer found/);
      assert.match(out, /frames of 1500 bytes pass/);
      assert.match(out, /round trip {3}\d+(\.\d)? us \(p50\), \d+(\.\d)? us \(p99\)/);
      assert.match(out, /throughput {3}\d+\.\d MiB\/s/);
      assert.match(out, /repeated {5}\d+\.\d\d %/);
      assert.not.match(out, /not authenticated/);
    }
  },
  { timeoutMs: 40_000 },
);

test(
  'the same for machines, with named peers and no key',
  async () => {
    const mac = async (end: End) => {
      const { out } = await veth.run(end, 'cat', `/proc/self/net/dev`).output();
      assert.match(out, new RegExp(INTERFACE[end]));
      const shown = await veth.run(end, 'ip', '-o', 'link', 'show', INTERFACE[end]).output();
      return /link\/ether (\S+)/.exec(shown.out)?.[1] ?? '';
    };
    const [near, far] = [await mac('near'), await mac('far')];
    const results = await Promise.all([
      link('near', '--json', '--peer', far).output(),
      link('far', '--json', '--peer', near).output(),
    ]);
    for (const { status, out, err } of results) {
      assert.is(status, 0, err);
      const result = JSON.parse(out) as { frameBytes: number; roundTripUs: { p50: number } };
      assert.is(result.frameBytes, 1500);
      assert.ok(result.roundTripUs.p50 > 0);
    }
  },
  { timeoutMs: 40_000 },
);

test(
  'over IP where the link is routed',
  async () => {
    const results = await Promise.all([
      link('near', '--ip', '10.54.0.2').output(),
      link('far', '--ip', '10.54.0.1').output(),
    ]);
    for (const { status, out, err } of results) {
      assert.is(status, 0, err);
      assert.match(out, /frames of 1480 bytes pass/);
    }
  },
  { timeoutMs: 40_000 },
);

test(
  'another key is said on both boards, in words',
  async () => {
    const results = await Promise.all([
      link('near', '--key', keyFile('a', 1), '--wait', '2').output(),
      link('far', '--key', keyFile('b', 2), '--wait', '2').output(),
    ]);
    for (const { status, out, err } of results) {
      assert.is(status, 1);
      assert.match(out, /refused: a board with another pairing key calls/);
      assert.match(err, /somebody is there .* but it is not the peer/);
    }
  },
  { timeoutMs: 30_000 },
);

test('nobody there, and no such interface', async () => {
  const alone = await link('near', '--wait', '0.5').output();
  assert.is(alone.status, 1);
  assert.match(alone.err, /nothing heard in 0.5 s: is "twinstep link" running/);
  const none = await veth.run('near', process.execPath, COMMAND, 'link', 'nosuch0').output();
  assert.is(none.status, 1);
  assert.match(none.err, /there is no interface nosuch0/);
});

test(
  'a cable pulled while measuring ends it in words, on both boards',
  async () => {
    const running = (['near', 'far'] as const).map((end) => link(end, '--seconds', '4'));
    // They have met when their frames are of the path's size; only then is the cable pulled.
    await Promise.all(running.map((program) => program.said(/frames of \d+ bytes pass/)));
    await veth.run('far', 'ip', 'link', 'set', INTERFACE.far, 'down').output();
    for (const { status, out, err } of await Promise.all(running.map((each) => each.output()))) {
      assert.is(status, 1);
      assert.match(out, /no link: cable pulled/);
      assert.match(err, /the peer has been silent for 5 s: the cable is pulled/);
    }
    await veth.run('far', 'ip', 'link', 'set', INTERFACE.far, 'up').output();
  },
  { timeoutMs: 60_000 },
);

test('command lines that make no sense', async () => {
  for (const args of [
    [],
    ['a', 'b'],
    ['eth1', '--wait', 'x'],
    ['eth1', '--bogus'],
    ['eth1', '--key', '/nosuch'],
  ]) {
    const { status, err } = await veth
      .run('near', process.execPath, COMMAND, 'link', ...args)
      .output();
    assert.is(status, 2, err);
    assert.match(err, /^twinstep link: /);
  }
  const help = await veth.run('near', process.execPath, COMMAND, 'link', '--help').output();
  assert.match(help.out, /usage: twinstep link IFACE/);
});

test.run();

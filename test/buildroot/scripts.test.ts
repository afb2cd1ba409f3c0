// Shell of the overlay that can be run anywhere, and what goes into an image.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { assert, repoPath, suite } from '../harness/index.ts';

const test = suite('buildroot/scripts');
const OVERLAY = repoPath('buildroot/board/twinstep/rootfs-overlay');
let folder = '';

test.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-scripts-'));
});
test.after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs shell after common.sh, with the board's files in a folder of ours. */
function shell(lines: string): string {
  const common = join(OVERLAY, 'usr/libexec/twinstep/common.sh');
  const script = `. ${common}\nCONF=${folder}/appliance.conf\n${lines}`;
  const { status, stdout, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
  assert.is(status, 0, stderr);
  return stdout;
}

test('appliance.conf is read and never executed', () => {
  writeFileSync(
    join(folder, 'appliance.conf'),
    'A=one\nB="two words"\n#C=three\nD=$(touch EVIL)`touch EVIL`;x\nA=last\nAB=no\n',
  );
  assert.is(shell('conf A'), 'last');
  assert.is(shell('conf B'), 'two words');
  assert.is(shell('conf C default'), 'default');
  assert.is(shell('conf MISSING'), '');
  assert.is(shell('conf D'), '$(touch EVIL)`touch EVIL`;x');
  assert.not.ok(existsSync('EVIL'));
});

test('the example names every key the scripts read, and no other', () => {
  const read = new Set<string>();
  for (const part of ['etc/init.d', 'usr/libexec/twinstep']) {
    for (const entry of readdirSync(join(OVERLAY, part), {
      withFileTypes: true,
      recursive: true,
    })) {
      if (!entry.isFile()) continue;
      const text = readFileSync(join(entry.parentPath ?? entry.path, entry.name), 'utf8');
      for (const [, key] of text.matchAll(/\$\(conf ([A-Z_]+)/g)) read.add(key as string);
    }
  }
  const example = readFileSync(join(OVERLAY, 'usr/share/twinstep/appliance.conf.example'), 'utf8');
  const shown = [...example.matchAll(/^#?([A-Z_]+)=/gm)].map(([, key]) => key as string);
  assert.equal([...read].sort(), shown.sort());
});

test('orders obeys known words alone', () => {
  const script = readFileSync(join(OVERLAY, 'usr/libexec/twinstep/orders'), 'utf8');
  const body = script.slice(script.indexOf('answer() {'), script.indexOf('[ -p "$RUN/orders"'));
  const stubs = `RUN=${folder}\nsay() { :; }\nchgrp() { :; }\nreboot() { echo REBOOT; }\nwith_boot_partition() { false; }\n`;
  const obey = (word: string): string => {
    const shown = shell(`${stubs}${body}\nobey '${word}'`);
    return `${shown}${readFileSync(join(folder, 'order-result'), 'utf8')}`;
  };
  assert.is(obey('reboot'), 'REBOOT\nreboot accepted\n');
  assert.is(obey('rm'), 'unknown refused\n');
  assert.is(obey('$(reboot)'), 'unknown refused\n');
  writeFileSync(join(folder, 'update.log'), 'signature verification failed\n');
});

test('install.mjs takes what runs and leaves the rest', () => {
  const source = join(folder, 'source');
  const put = (path: string): void => {
    mkdirSync(dirname(join(source, path)), { recursive: true });
    const isManifest = path === 'package.json';
    writeFileSync(join(source, path), isManifest ? '{"dependencies":{"raw-socket":"1"}}' : path);
  };
  const wanted = [
    'LICENSE',
    'dist/firmware/cli/twinstep.js',
    'native/build/Release/twinstep.node',
    'node_modules/@serialport/bindings-cpp/build/Release/bindings.node',
    'node_modules/debug/src/index.js',
    'node_modules/mqtt/build/index.js',
    'node_modules/raw-socket/index.js',
    'package.json',
  ];
  const unwanted = [
    'native/build/Release/obj.target/twinstep/napi/addon.o',
    'native/binding.gyp',
    'native/build/Makefile',
    'native/napi/addon.cc',
    'node_modules/@serialport/bindings-cpp/binding.gyp',
    'node_modules/@serialport/bindings-cpp/build/Release/obj.target/x.o',
    'node_modules/@serialport/bindings-cpp/prebuilds/linux-arm/x.node',
    'node_modules/@serialport/bindings-cpp/src/serialport.cpp',
    'node_modules/nan/nan.h',
    'node_modules/raw-socket/README.md',
  ];
  for (const path of [...wanted, ...unwanted]) put(path);
  const target = join(folder, 'target');
  const install = repoPath('buildroot/package/twinstep/install.mjs');
  const run = (): number | null => spawnSync(process.execPath, [install, source, target]).status;
  assert.is(run(), 0);
  const files = readdirSync(target, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(target.length + 1));
  assert.equal(files.sort(), wanted);

  writeFileSync(join(source, 'node_modules/debug/package.json'), '{"main":"gone.js"}');
  assert.is(run(), 1, 'a package without its code');
  rmSync(join(source, 'node_modules/debug'), { recursive: true });
  assert.is(run(), 0);
  rmSync(join(source, 'native/build/Release/twinstep.node'));
  assert.is(run(), 1, 'without the addon there is no image');
});

test('board.toml: texts of one table, as people and the console write them', () => {
  writeFileSync(
    join(folder, 'board.toml'),
    '[guest]\nkind = "no"\r\n [watchdog] # this one\n\tkind="stand-in" # for benches\ndevice = \'/dev/watchdog1\'\n[other]\ntimeout = "x"\n',
  );
  const toml = (words: string) => shell(`BOARD_TOML=${folder}/board.toml\ntoml ${words}`);
  assert.is(toml('watchdog kind device'), 'stand-in');
  assert.is(toml('watchdog device /dev/watchdog'), '/dev/watchdog1');
  assert.is(toml('watchdog timeout 5'), '5');
  assert.is(toml('nothing kind'), '');
});

test('the watchdog is fed until the board has it, and never longer than stated', () => {
  const guard = join(OVERLAY, 'usr/libexec/twinstep/guard');
  const bin = join(folder, 'bin');
  mkdirSync(bin, { recursive: true });
  const pets = join(folder, 'pets');
  // Each pause is counted; in the third one the board takes the device, which then refuses.
  const sleep = (then: string) =>
    writeFileSync(
      join(bin, 'sleep'),
      `#!/bin/sh\necho "$1" >>${pets}\n[ $(wc -l <${pets}) -lt 3 ] || { ${then}; }\n`,
      { mode: 0o755 },
    );
  const run = (device: string, seconds: number) => {
    writeFileSync(pets, '');
    const path = `${bin}:${process.env.PATH}`;
    const ran = spawnSync('sh', [guard, device, String(seconds)], {
      encoding: 'utf8',
      env: { PATH: path },
    });
    assert.is(ran.status, 0, ran.stderr);
    assert.is(ran.stderr, '');
    return readFileSync(pets, 'utf8').trim().split('\n').filter(Boolean).length;
  };
  const device = join(folder, 'watchdog');
  writeFileSync(device, '');
  sleep(`rm -f ${device}; mkdir ${device}`);
  assert.is(run(device, 120), 3, 'until it is refused');
  rmSync(device, { recursive: true });
  writeFileSync(device, '');
  sleep(':');
  assert.is(run(device, 40), 8, 'no longer than stated');
  assert.is(run(join(folder, 'no such folder', 'watchdog'), 40), 0, 'where there is none');
});

test.run();

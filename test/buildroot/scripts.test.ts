// Shell of the overlay that can be run anywhere, and what goes into an image.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { assert, repoPath, suite } from '../harness/index.ts';

const test = suite('buildroot/scripts');
const OVERLAY = repoPath('buildroot/board/twinstep/rootfs-overlay');
/** Many programs, each of a moment. */
const SLOW = { timeoutMs: 120_000 };
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

/** A file of the overlay or the stick, as bytes of ours. */
const put = (name: string, bytes: string | Buffer) => writeFileSync(join(folder, name), bytes);

test(
  'appliance.conf is read like board.toml: line ends, marks, blanks, quotes, comments',
  () => {
    const text = [
      'LOG_NIC=eth0',
      'FRONT_NIC = "eth1"   # the plant',
      "  HOSTNAME\t=\t'press-7-a'",
      'LOG_MTU=9000 # jumbo',
      'FRONT_ADDRESS="192.168.10.2/24"',
      'NTP_SERVERS=192.168.10.1 192.168.10.4   ',
      '   # a comment',
      '',
      'INDICATOR_ALARM=front:red#1',
      'WATCHDOG_DRIVER=#auto',
    ].join('\n');
    const crlf = text.replaceAll('\n', '\r\n');
    for (const bytes of [
      ...[text, `${text}\n`, crlf, `${crlf}\r\n`, `\ufeff${crlf}`, text.replaceAll('\n', '\r')],
      ...[`${crlf}\r\n\u001a`, Buffer.from(`\ufeff${crlf}`, 'utf16le')],
      Buffer.from(`\ufeff${crlf}`, 'utf16le').swap16(),
    ]) {
      put('appliance.conf', bytes);
      const keys = ['LOG_NIC', 'FRONT_NIC', 'HOSTNAME', 'LOG_MTU', 'FRONT_ADDRESS', 'NTP_SERVERS'];
      const more = ['INDICATOR_ALARM', 'WATCHDOG_DRIVER', 'GUEST_TAPS'];
      const all = [...keys, ...more].map((key) => `conf ${key} none; echo`).join('\n');
      assert.equal(shell(all).split('\n').slice(0, -1), [
        ...['eth0', 'eth1', 'press-7-a', '9000', '192.168.10.2/24', '192.168.10.1 192.168.10.4'],
        ...['front:red#1', 'none', 'none'],
      ]);
      assert.is(shell('conf_faults "$CONF"'), '', 'nothing is wrong with it');
    }
  },
  SLOW,
);

test(
  'what cannot be read in appliance.conf is said, with its line and the key that was meant',
  () => {
    const lines = [
      'LOG_NCI=eth0',
      'front-nic=eth1',
      'LOG_NIC="eth0',
      'LOG_NIC="eth0" eth1',
      'LOG_NIC=“eth0”',
      'nothing to see',
      'LOG_MTU=9k',
      'FRONT_ADDRESS=192.168.10.2',
      'GUEST_TAPS=["tap0", "tap1"]',
      'HOSTNAME=a',
      'HOSTNAME=b',
      'FROBNICATE=1',
      'FRONT_GATEWAY=',
    ];
    put('appliance.conf', `\ufeff${lines.join('\r\n')}\r\n`);
    assert.equal(shell('conf_faults "$CONF"').split('\n').slice(0, -1), [
      '1: unknown key LOG_NCI; did you mean LOG_NIC?',
      '2: unknown key front-nic; did you mean FRONT_NIC?',
      '3: LOG_NIC: no quote at its end',
      '4: LOG_NIC: text behind the quote at its end',
      '5: LOG_NIC: letters that are not plain ASCII',
      '6: not KEY=VALUE',
      '7: LOG_MTU: "9k" is no number',
      '8: FRONT_ADDRESS: "192.168.10.2" is no address/bits',
      '9: GUEST_TAPS: "["tap0", "tap1"]" is no list-of-words',
      '11: HOSTNAME is there twice',
      '12: unknown key FROBNICATE',
    ]);
    assert.is(shell('conf LOG_NIC none'), 'none', 'and not half of it is taken');
    assert.is(shell('number "$(conf LOG_MTU)" 1500'), '1500');
  },
  SLOW,
);

test('the driver of KVM is named by what the processor can, and what it took is read back', () => {
  const flags = (words: string) => `processor : 0\nflags\t\t: fpu ${words} hypervisor\n`;
  const driver = (words: string) => {
    put('cpuinfo', flags(words).repeat(2));
    return shell(`kvm_module <${folder}/cpuinfo`).trim();
  };
  assert.is(driver('msr vmx ept'), 'kvm_intel');
  assert.is(driver('msr svm npt'), 'kvm_amd');
  assert.is(driver('msr svml xvmx'), '');
  const parameters = join(folder, 'parameters');
  mkdirSync(parameters);
  assert.is(shell(`kvm_parameters ${parameters}`), '');
  writeFileSync(join(parameters, 'npt'), 'N\n');
  assert.is(shell(`kvm_parameters ${parameters}`), ', npt=N');
});

test('the example of appliance.conf is without a fault, also with its comments taken away', () => {
  const example = readFileSync(join(OVERLAY, 'usr/share/twinstep/appliance.conf.example'), 'utf8');
  for (const text of [example, example.replace(/^#([A-Z_]+=)/gm, '$1')]) {
    put('appliance.conf', text);
    assert.is(shell('conf_faults "$CONF"'), '');
  }
});

/** The start script on a stick and a data partition of ours; what it printed, and what the board then has. */
function commission(stick: Readonly<Record<string, string | Buffer>>) {
  const place = mkdtempSync(join(folder, 'commission-'));
  for (const path of ['stick/guest', 'data/guest', 'data/twinstep'])
    mkdirSync(join(place, path), { recursive: true });
  for (const [name, bytes] of Object.entries(stick))
    writeFileSync(join(place, 'stick', name), bytes);
  const script = readFileSync(join(OVERLAY, 'etc/init.d/S12commission'), 'utf8')
    .replace(/^\. .*$/m, '')
    .replace(/^case "\$1" in[\s\S]*/m, 'start')
    .replace('/run/twinstep/stick', join(place, 'stick'));
  const command = `${process.execPath} ${repoPath('dist/firmware/cli/twinstep.js')}`;
  const stubs = [
    ...['blkid', 'mount', 'umount', 'chown', 'sync', 'say'].map((name) => `${name}() { :; }`),
    'setpriv() { shift 6; "$@"; }',
    `twinstep() { ${command} "$@"; }`,
    'data_is_ready() { :; }',
    `DATA=${place}/data; HOME_DIR=$DATA/twinstep; BOARD_TOML=$HOME_DIR/board.toml; CONF=$HOME_DIR/appliance.conf`,
  ];
  const said = shell(`${stubs.join('\n')}\n${script}`);
  return { said, has: readdirSync(join(place, 'data/twinstep')).sort(), place };
}

test(
  'a stick: taken as a whole or not at all, with what is wrong in words',
  () => {
    const toml = (place: string) => `\ufeff${boardToml(place).replaceAll('\n', '\r\n')}`;
    const boardToml = (place: string) =>
      `${[
        ...['[board]', 'name = "a"', 'side = "a"', `pairing-key-file = "${place}"`],
        ...['[log]', 'interface = "log0"', '[serial]', 'port = "none"'],
        ...['[front]', 'interface = "plant0"', 'bind = "10.0.0.1"', 'peer = "10.0.0.2"'],
        ...['gateway = "none"', '[guest]', `kernel = "${place}"`],
      ].join('\n')}\n`;
    const key = join(folder, 'own.key');
    writeFileSync(key, `${'ab'.repeat(32)}\r\n`, { mode: 0o600 });
    const good = {
      'appliance.conf': '\ufeffLOG_NIC = eth0 # x\r\n',
      'board.toml': toml(key),
      'pairing.key': `${'ab'.repeat(32)}\r\n`,
      'holiday.jpg': 'x',
    };
    const taken = commission(good);
    assert.is(taken.said, 'Starting commission: OK\n');
    assert.equal(taken.has, ['appliance.conf', 'board.toml', 'pairing.key']);

    const faulty = commission({ ...good, 'appliance.conf': 'LOG_NCI=eth0\r\n' });
    assert.match(faulty.said, 'appliance.conf:1: unknown key LOG_NCI; did you mean LOG_NIC?');
    assert.match(faulty.said, 'FAIL (nothing is commissioned)');
    assert.equal(faulty.has, []);

    const { 'board.toml': text, ...others } = good;
    const renamed = commission({ ...others, 'board.toml.txt': text });
    assert.match(renamed.said, 'board.toml.txt on the stick is not read; did you mean board.toml?');
    assert.equal(renamed.has, []);
    const mistyped = commission({ ...others, 'baord.toml': text });
    assert.match(mistyped.said, 'baord.toml on the stick is not read; did you mean board.toml?');

    const wrong = commission({ ...good, 'board.toml': text.replace('kernel =', 'kernal =') });
    assert.match(
      wrong.said,
      'board.toml:15: unknown key "kernal" in [guest]; did you mean "kernel"?',
    );
    assert.match(wrong.said, 'FAIL (nothing is commissioned)');
    assert.not.ok(wrong.has.includes('board.toml'));
  },
  SLOW,
);

test(
  'cards are found as labels and other systems name them; one that is not there is no OK',
  () => {
    const sys = join(folder, 'sys');
    mkdirSync(join(sys, 'devices/pci0000:00/0000:02:00.0'), { recursive: true });
    mkdirSync(join(sys, 'class/net/eth0'), { recursive: true });
    writeFileSync(join(sys, 'class/net/eth0/address'), '00:1b:21:aa:bb:cc\n');
    symlinkSync(join(sys, 'devices/pci0000:00/0000:02:00.0'), join(sys, 'class/net/eth0/device'));
    const script = readFileSync(join(OVERLAY, 'etc/init.d/S40nics'), 'utf8')
      .replace(/^\. .*$/m, '')
      .replace(/^case "\$1" in\n\tstart[\s\S]*/m, '')
      .replace('/sys/class/net/*', `${sys}/class/net/*`);
    const stubs = 'ip() { :; }\nmodprobe() { :; }\nsay() { :; }';
    for (const name of [
      ...['eth0', 'mac:00:1b:21:aa:bb:cc', 'mac:00:1B:21:AA:BB:CC', 'mac:00-1B-21-AA-BB-CC'],
      ...['pci:0000:02:00.0', 'pci:02:00.0'],
    ]) {
      put('appliance.conf', `LOG_NIC=${name}\r\n`);
      assert.is(shell(`${stubs}\n${script}\nfind_card "$(conf LOG_NIC)"`), 'eth0\n', name);
      assert.is(shell(`${stubs}\n${script}\nstart`), 'Starting nics: OK\n', name);
    }
    put('appliance.conf', 'LOG_NIC=eth9\r\n');
    assert.is(shell(`${stubs}\n${script}\nstart`), 'Starting nics: FAIL (no card eth9 for log0)\n');
  },
  SLOW,
);

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

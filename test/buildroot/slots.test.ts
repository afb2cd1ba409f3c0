// Which slot a machine starts from: the boot partition's own script and the appliance's, start after start, with power
// that goes whenever it likes. GRUB's language is near enough to that of a shell to be run by one.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { leftSlot } from '../../firmware/board/slot-watch.ts';
import { assert, repoPath, suite } from '../harness/index.ts';

const test = suite('buildroot/slots');
const SLOW = { timeoutMs: 120_000 };
const OVERLAY = repoPath('buildroot/board/twinstep/rootfs-overlay');
const FRESH = 'ORDER=A B\nA_OK=1\nA_TRY=0\nB_OK=1\nB_TRY=0\n';

/** GRUB's words that a shell has not, or has otherwise; what it starts is written to a file. */
const GRUB = `
for word in regexp serial terminal_input terminal_output source initrd probe menuentry; do eval "$word() { :; }"; done
function set { export "$1"; }
function load_env { while read -r line; do case "$line" in [A-Z]*=*) export "$line";; esac; done <"$GRUBENV"; }
function save_env {
  shift 2
  { echo '# GRUB Environment Block'; for key; do echo "$key=\${!key}"; done; } >"$GRUBENV.new"
  truncate -s 1024 "$GRUBENV.new"; tr '\\000' '#' <"$GRUBENV.new" >"$GRUBENV"
}
function linux { echo "$*" >"$CMDLINE"; }
function boot { exit 0; }
`;

class Machine {
  readonly folder = mkdtempSync(join(tmpdir(), 'slots-'));
  readonly grubenv = join(this.folder, 'boot-efi/EFI/BOOT/grubenv');
  readonly cmdline = join(this.folder, 'cmdline');
  /** What lies in each slot. */
  readonly images: Record<string, string> = { A: '2.0', B: '1.0' };

  constructor() {
    for (const name of [
      'boot-efi/EFI/BOOT',
      'data/rauc',
      'data/twinstep/state',
      'data/update',
      'run',
    ])
      mkdirSync(join(this.folder, name), { recursive: true });
    const text = `# GRUB Environment Block\n${FRESH}`;
    writeFileSync(this.grubenv, text.padEnd(1024, '#'));
  }

  /** GRUB; which slot it starts. */
  start(): string {
    const grub = readFileSync(repoPath('buildroot/board/twinstep/grub.cfg'), 'utf8')
      .replace(/^menuentry [\s\S]*?^}$/gm, '')
      .replace(/\((\$[a-z]+(,gpt\d)?)\)/g, '$1');
    const script = `${GRUB}\n${grub}\nstart_slot $chosen\n`;
    const env = { PATH: process.env.PATH, GRUBENV: this.grubenv, CMDLINE: this.cmdline };
    const { status, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8', env });
    assert.is(status, 0, stderr);
    return /rauc\.slot=([AB])/.exec(readFileSync(this.cmdline, 'utf8'))![1]!;
  }

  /** A script of the appliance, on our folders; `sleep` ends it where power goes. */
  private run(name: string, stubs: string): void {
    const { folder } = this;
    const source = (path: string) =>
      readFileSync(join(OVERLAY, 'usr/libexec/twinstep', path), 'utf8')
        .replaceAll('/proc/cmdline', this.cmdline)
        .replace(/^ESP=.*$/m, `ESP=${folder}/boot-efi`)
        .replace(/^DATA=.*$/m, `DATA=${folder}/data`)
        .replace(/^RUN=.*$/m, `RUN=${folder}/run`);
    const slot = /rauc\.slot=([AB])/.exec(readFileSync(this.cmdline, 'utf8'))![1]!;
    const fixed = [
      ...['mount', 'umount', 'logger', 'reboot', 'chgrp'].map((word) => `${word}() { :; }`),
      'data_is_ready() { :; }',
      'is_commissioned() { return 1; }',
      `image_version() { echo ${this.images[slot]}; }`,
      stubs,
    ];
    const script = `${source('common.sh')}\n${fixed.join('\n')}\n${source(name).replace(/^\. .*$/m, '')}`;
    const { stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8', timeout: 60_000 });
    assert.not.match(stderr, /error|not found/i);
  }

  private get env(): string {
    return readFileSync(this.grubenv, 'latin1');
  }

  value(key: string): string | undefined {
    return new RegExp(`^${key}=(.*)$`, 'm').exec(this.env)?.[1];
  }

  /** It has come up; power goes after so many seconds. */
  confirm(seconds: number): void {
    const goodTry = '"$ESP/EFI/BOOT/grubenv"';
    this.run(
      'confirm',
      [
        `left=${seconds}`,
        'sleep() { left=$((left - $1)); [ "$left" -gt 0 ] || exit 9; }',
        `rauc() { sed -i "s/^$(booted_slot)_TRY=.*/$(booted_slot)_TRY=0/" ${goodTry}; truncate -s 1024 ${goodTry}; }`,
      ].join('\n'),
    );
    assert.is(readFileSync(this.grubenv).length, 1024, 'as GRUB wants it');
  }

  /** A new image into the slot that does not run; RAUC makes it the one to start. */
  update(version: string): void {
    const slot = /rauc\.slot=([AB])/.exec(readFileSync(this.cmdline, 'utf8'))![1]!;
    const other = slot === 'A' ? 'B' : 'A';
    this.images[other] = version;
    const orders = join(this.folder, 'run/orders');
    spawnSync('mkfifo', [orders]);
    const env = '"$ESP/EFI/BOOT/grubenv"';
    this.run(
      'orders',
      [
        `rauc() { sed -i -e 's/^ORDER=.*/ORDER=${other} ${slot}/' -e 's/^${other}_TRY=.*/${other}_TRY=0/' -e 's/^${other}_OK=.*/${other}_OK=1/' ${env}; truncate -s 1024 ${env}; }`,
        // One order, and the end.
        'asked=0',
        'read() { [ "$asked" = 0 ] || exit 0; asked=1; order=update; rest=""; }',
      ].join('\n'),
    );
  }
}

test(
  'power that comes and goes is not held against a confirmed image, however often',
  () => {
    const machine = new Machine();
    assert.is(machine.start(), 'A');
    machine.confirm(75);
    assert.is(machine.value('A_SURE'), '1');
    for (let round = 0; round < 4; round++) {
      // Three times without even coming up, and then each time for less than a minute.
      for (let n = 0; n < 3; n++) assert.is(machine.start(), 'A', `cut off ${n} times`);
      for (let n = 0; n < 5; n++) {
        assert.is(machine.start(), 'A', `up for seconds, ${n} times`);
        machine.confirm(20);
      }
    }
    assert.is(leftSlot(machine.cmdline), null);
  },
  SLOW,
);

test(
  'a confirmed image that does not come up any more is left after nine starts, and that is an alarm',
  () => {
    const machine = new Machine();
    machine.start();
    machine.confirm(75);
    for (let n = 0; n < 9; n++) assert.is(machine.start(), 'A');
    assert.is(machine.start(), 'B');
    assert.match(
      leftSlot(machine.cmdline)!,
      /slot B runs: slot A, which was confirmed, did not come/,
    );
  },
  SLOW,
);

test(
  'a new image has three starts, whatever was in its slot before; confirmed, it counts as the other',
  () => {
    const machine = new Machine();
    machine.start();
    machine.confirm(75);
    machine.update('3.0');
    for (let n = 0; n < 3; n++) assert.is(machine.start(), 'B', `start ${n} of the new image`);
    assert.is(machine.start(), 'A');
    assert.match(
      leftSlot(machine.cmdline)!,
      /slot A runs: slot B, whose image was never confirmed/,
    );
    machine.update('3.1');
    assert.is(machine.start(), 'B');
    machine.confirm(75);
    for (let n = 0; n < 5; n++) assert.is(machine.start(), 'B');
    assert.is(leftSlot(machine.cmdline), null);
    machine.update('4.0');
    assert.is(machine.value('A_SURE'), '0', 'what was confirmed there is no more');
    for (let n = 0; n < 3; n++) assert.is(machine.start(), 'A');
    assert.is(machine.start(), 'B');
  },
  SLOW,
);

test('a machine without slots, and what cannot be read, is no alarm', () => {
  const folder = mkdtempSync(join(tmpdir(), 'slots-'));
  assert.is(leftSlot(join(folder, 'none')), null);
  for (const text of ['', 'root=/dev/sda1', 'rauc.slot=A', 'rauc.slot=A twinstep.preferred=C\n']) {
    writeFileSync(join(folder, 'cmdline'), text);
    assert.is(leftSlot(join(folder, 'cmdline')), null);
  }
});

test.run();

// Two configurations that must not differ do not have one number, and the number stays what it is.
import { createHash } from 'node:crypto';
import { pairHashOf } from '../../../firmware/board/config/pair-hash.ts';
import type { BoardConfig, GuestPlan } from '../../../firmware/board/config/types.ts';
import { propertiesAt } from '../../../firmware/lockstep/guest-identity.ts';
import { assert, suite } from '../../harness/index.ts';

const test = suite('board/config/pair-hash');

const GUEST: GuestPlan = {
  kernel: '/k',
  initrd: undefined,
  append: 'quiet',
  memoryBytes: 1 << 28,
  engine: 'soft',
  nics: [{ mac: Uint8Array.of(2, 0, 0, 0, 0, 1), tap: 'tap0' }],
  disks: [{ path: '/d', isReadOnly: true }],
  com1: { kind: 'none' },
  com2: { kind: 'socket', path: '/s' },
  onPowerOff: 'stop',
};

const hashOf = (
  guest: Partial<GuestPlan> = {},
  overFront: BoardConfig['log']['overFront'] = { rateMbit: 20 },
): string =>
  pairHashOf({
    guest: { ...GUEST, ...guest },
    limits: { silentMs: 1 },
    front: { port: 7, gateway: null },
    log: { interfaces: ['eth1'], overFront },
    serial: null,
    mqtt: null,
  } as unknown as BoardConfig);

test('the number is of these words', () => {
  const words =
    '{"guest":{"append":"quiet","memoryBytes":268435456,"engine":"soft","onPowerOff":"stop",' +
    '"macs":[[2,0,0,0,0,1]],"disks":[true],"lines":["none","socket"]},"limits":{"silentMs":1},' +
    '"front":{"port":7,"gateway":null},"serial":null,"mqtt":null}';
  assert.is(hashOf(), createHash('sha256').update(words).digest('hex'));
});

test('whether the log may go over the front LAN counts, what it may use of it does not', () => {
  assert.is.not(hashOf({}, null), hashOf());
  assert.is(hashOf({}, { rateMbit: 100 }), hashOf());
});

test('each property of the guest that counts changes it, and paths do not', () => {
  const others: Record<ReturnType<typeof propertiesAt<'pair'>>[number], Partial<GuestPlan>> = {
    engine: { engine: 'auto' },
    memoryBytes: { memoryBytes: 1 << 27 },
    commandLine: { append: '' },
    disks: { disks: [{ path: '/d', isReadOnly: false }] },
    macs: { nics: [] },
    restartsOn: { onPowerOff: 'restart' },
    lines: { com1: { kind: 'pty' } },
  };
  for (const name of propertiesAt('pair')) assert.is.not(hashOf(others[name]), hashOf(), name);
  assert.is(hashOf({ engine: 'soft-interpreter' }), hashOf());
  const paths = { kernel: '/other', disks: [{ path: '/other', isReadOnly: true }] };
  assert.is(hashOf(paths), hashOf());
});

test.run();

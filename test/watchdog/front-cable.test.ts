// Which files of the kernel say that the front cable is out: a card, a bridge with a TAP on it, and what is no evidence.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FrontCable } from '../../watchdog/front-cable.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('watchdog/front-cable');

let root = '';
test.before.each(() => {
  root = mkdtempSync(join(tmpdir(), 'twinstep-front-cable-'));
});
test.after.each(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, text: string): void {
  mkdirSync(join(root, path, '..'), { recursive: true });
  writeFileSync(join(root, path), text);
}

const isOut = (name: string) => new FrontCable(name, root).isOut();

test('a card is as its carrier says; one that is not there is no evidence', () => {
  put('eth0/carrier', '1\n');
  assert.is(isOut('eth0'), false);
  put('eth0/carrier', '0\n');
  assert.is(isOut('eth0'), true);
  assert.is(isOut('eth1'), false);
});

test('of a bridge its cards count, and not the TAP of the guest, which keeps it up', () => {
  put('br0/carrier', '1\n');
  put('br0/brif/eth0/state', '3\n');
  put('br0/brif/tap0/state', '3\n');
  put('tap0/tun_flags', '0x1002\n');
  put('tap0/carrier', '1\n');
  put('eth0/carrier', '1\n');
  assert.is(isOut('br0'), false);
  put('eth0/carrier', '0\n');
  assert.is(isOut('br0'), true);
  put('br0/brif/eth2/state', '3\n');
  put('eth2/carrier', '1\n');
  assert.is(isOut('br0'), false, 'a second card');
});

test('a bridge with a TAP alone says nothing', () => {
  put('br0/brif/tap0/state', '3\n');
  put('tap0/tun_flags', '0x1002\n');
  assert.is(isOut('br0'), false);
});

test.run();

// Ids are one to one from group and node, within the limits of the place, and the same at every start.
import { CLIENT_ID_MAX, clientId, deviceId } from '../../firmware/scada/ids.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('scada/ids');

/** What a configuration takes as an id. */
const LETTERS = 'AZaz09 ._-';

function pairs(): { group: string; node: string }[] {
  const random = seededRandom('ids');
  const word = () =>
    Array.from({ length: 1 + random.int(4) }, () => LETTERS[random.int(LETTERS.length)]).join('');
  const made = Array.from({ length: 4_000 }, () => ({ group: word(), node: word() }));
  const met = [
    ['Line1', 'press.7'],
    ['Line1', 'press-7'],
    ['Line1', 'press_7'],
    ['Line1', 'press 7'],
    ['Line1', 'Press.7'],
    ['Line1-press', '7'],
    ['Line1', 'press-7-status'],
    ['Line1-', 'press-7'],
    ['x'.repeat(64), `${'y'.repeat(63)}1`],
    ['x'.repeat(64), `${'y'.repeat(63)}2`],
  ].map(([group = '', node = '']) => ({ group, node }));
  return [...made, ...met];
}

test('no two boards share an id, nor two connections of one board', () => {
  const seen = new Map<string, string>();
  for (const ids of pairs()) {
    for (const id of [clientId(ids, 'sparkplug'), clientId(ids, 'status'), deviceId(ids)]) {
      const who = `${ids.group}/${ids.node}`;
      assert.is(seen.get(id) ?? who, who, `${id} of two boards`);
      seen.set(id, who);
    }
    assert.not.equal(clientId(ids, 'sparkplug'), clientId(ids, 'status'));
  }
});

test('a client id is what every MQTT server takes; a device id what Home Assistant takes', () => {
  for (const ids of pairs()) {
    for (const purpose of ['sparkplug', 'status'] as const) {
      assert.match(clientId(ids, purpose), new RegExp(`^[0-9A-Za-z]{1,${CLIENT_ID_MAX}}$`));
    }
    assert.match(deviceId(ids), /^[A-Za-z0-9_-]+$/);
  }
});

test('they stay as they are from version to version', () => {
  const ids = { group: 'Twinstep', node: 'press-7-a' };
  assert.is(clientId(ids, 'sparkplug'), 'press7ay69vpjo96pfm64l');
  assert.is(clientId(ids, 'status'), 'press7a42zvmwuf5k581wc');
  assert.is(deviceId(ids), 'twinstep_Twinstep_press_7_a_5o018geur2w9don');
});

test.run();

// What a technician reads of the guest's network cards.
import { guestScreen } from '../../firmware/console/screens.ts';
import { healthyStatus } from '../board/alarms/statuses.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('console/screens');

test('a card says what was dropped before the guest, and whose it was', () => {
  const healthy = healthyStatus();
  assert.match(guestScreen(healthy), /network +tap0, nothing dropped/);
  const flooded = {
    ...{ tap: 'tap0', groupDropped: 29_500, dropped: 30_000, droppedPerS: 29_500 },
    ...{ isStorm: true, source: '02:bd:00:00:00:07' },
  };
  const screen = guestScreen({ ...healthy, nets: [flooded] });
  assert.match(screen, /FLOODED, 29500 a second now; dropped 30000, 29500 of them broadcast/);
  assert.match(screen, /most from 02:bd:00:00:00:07/);
});

test.run();

// Requests of the operator at a terminal: asked first, refused early, followed to their end.
import { healthyStatus } from '../board/alarms/statuses.ts';
import { assert, suite } from '../harness/index.ts';
import { Desk } from './desk.ts';

const test = suite('console/requests');
const asked = (desk: Desk) =>
  desk.calls.flatMap((call) => (call.do === 'ask' ? [call.request.do] : []));

test('requests: asked first, refused early, waited for', () => {
  const desk = new Desk().login();
  desk.type('request switch-over\rno\r');
  assert.match(desk.screen.all, 'Nothing is done.');
  assert.equal(asked(desk), ['status']);
  desk.type('request switch-over\ryes\r');
  desk.later(300);
  assert.not.match(desk.screen.all, 'Done.');
  desk.outcome = 'REQUEST-DONE';
  desk.status = { ...healthyStatus(), role: 'backup' };
  desk.later(300);
  assert.match(desk.screen.all, 'Done.');
  desk.type('request test-failover\r');
  assert.match(desk.screen.all, 'Refused: only the primary');
  desk.answers = { ok: false, why: 'it is too late' };
  desk.type('request sync-up allow\r');
  assert.match(desk.screen.all, 'Refused: it is too late.');
});

test('a request with a number: asked with it; another word is told what is wanted', () => {
  const desk = new Desk().login();
  desk.answers = { ok: true, taken: 17, done: true };
  desk.type('request sync-rate 20\r');
  assert.match(desk.screen.all, 'Done.');
  const rates = desk.calls.flatMap((call) =>
    call.do === 'ask' && call.request.do === 'sync-rate' ? [call.request] : [],
  );
  assert.equal(rates, [{ do: 'sync-rate', mibS: 20 }]);
  for (const word of ['fast', '100001', '1.5']) {
    desk.type(`request sync-rate ${word}\r`);
    assert.match(desk.screen.all, `${word}: MIB-PER-S is a whole number, 0 to 100000`);
  }
});

test('a request that was taken and fails says why; one that is not done in time says so', () => {
  const desk = new Desk().login();
  desk.outcome = 'REQUEST-FAILED';
  desk.type('request switch-over\ryes\r');
  assert.match(desk.screen.all, 'Failed: the other board fell silent.');
  desk.outcome = null;
  desk.type('request maintenance on\ryes\r');
  for (let ms = 0; ms < 16_000; ms += 250) desk.later(250);
  assert.match(desk.screen.all, 'Begun, but not done yet');
  // This one ends with the board.
  desk.type('request test-failover\rpress-7-a\r');
  desk.later(300);
  assert.not.match(desk.screen.all, 'Done.');
  desk.status = null;
  desk.later(300);
  assert.match(desk.screen.all, 'Done.');
});

test('a power-off whose hand-over fails leaves the machine on', () => {
  const desk = new Desk().login();
  desk.answers = { ok: true, taken: 17, done: false };
  desk.outcome = 'REQUEST-FAILED';
  desk.stops = false;
  desk.type('request power-off\rpress-7-a\r');
  assert.match(desk.screen.all, 'The board has not stopped: the other board fell silent.');
  assert.ok(desk.calls.every((call) => call.do !== 'power'));
});

test('reboot: refused when the service would stop; the name of the board must be typed', () => {
  const desk = new Desk();
  desk.status = {
    ...healthyStatus(),
    role: 'solo',
    safeToRemove: { ok: false, why: 'it serves alone: the guest would stop' },
  };
  desk.login().type('request power-off\r');
  assert.match(desk.screen.all, 'Refused: it serves alone: the guest would stop.');
  desk.status = { ...healthyStatus(), role: 'backup', safeToRemove: { ok: true, why: 'fine' } };
  desk.type('request reboot\ryes\r');
  assert.ok(desk.calls.every((call) => call.do !== 'power'));
  desk.type('request reboot\rpress-7-a\r');
  desk.later(300);
  assert.ok(asked(desk).includes('stop'));
  assert.equal(desk.calls.at(-1), { do: 'power', what: 'reboot' });
});

test.run();

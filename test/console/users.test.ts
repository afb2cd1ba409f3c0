// Users and their passwords, and how long a line stays closed to whoever guesses.
import { Lockout } from '../../firmware/console/lockout.ts';
import { isPassword, makeUser, parseUsers, userLine } from '../../firmware/console/users.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('console/users');

test('users: scrypt, bounded cost, damaged lines are nobody', async () => {
  const eva = await makeUser('eva', 'operator', 'correct horse');
  const users = parseUsers(
    `${userLine(eva)}root:admin:x\nbig:admin:scrypt:999999:8:1:${'0'.repeat(32)}:${'0'.repeat(64)}\n`,
  );
  assert.equal([...users.keys()], ['eva']);
  assert.ok(await isPassword(users.get('eva'), 'correct horse'));
  assert.not.ok(await isPassword(users.get('eva'), 'correct horsf'));
  assert.not.ok(await isPassword(undefined, ''));
});

test('lockout: grows, is bounded, is of this line alone, survives the console', () => {
  let lockout = new Lockout();
  for (let n = 0; n < 4; n++) lockout.failed('eva', 'ttyS0', true, 0);
  assert.is(lockout.waitMs('eva', 'ttyS0', 0), 0);
  lockout.failed('eva', 'ttyS0', true, 0);
  assert.is(lockout.waitMs('eva', 'ttyS0', 0), 30_000);
  lockout = Lockout.fromJson(lockout.toJson());
  assert.is(lockout.waitMs('eva', 'ttyS0', 10_000), 20_000);
  assert.is(lockout.waitMs('eva', 'remote', 0), 0);
  assert.is(lockout.waitMs('bob', 'ttyS0', 0), 0);
  for (let n = 0; n < 100; n++) lockout.failed(`nobody${n}`, 'remote', false, 0);
  assert.is(lockout.waitMs('eva', 'remote', 0), 900_000, 'the line itself');
  assert.is(lockout.waitMs('eva', 'remote', -1e12), 900_000, 'a clock set back');
  lockout.succeeded('eva', 'ttyS0');
  assert.is(lockout.waitMs('eva', 'ttyS0', 0), 0);
  for (let n = 0; n < 1_000; n++) lockout.failed('eva', `line${n}`, true, 0);
  assert.ok(lockout.toJson().length < 20_000);
  for (const text of ['', '{', '[[1,2]]', '[null]', '{"a":1}']) Lockout.fromJson(text);
});

test.run();

// Who may use the console: a file of lines `name:role:scrypt:N:r:p:salt:hash`, for its owner alone. A line
// that is none is nobody; a file that cannot be read lets nobody in.
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { mkdir, open, readFile, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemWords } from '../host/errors.ts';
import { ROLES, type UserRole } from './grammar.ts';

export interface User {
  readonly name: string;
  readonly role: UserRole;
  readonly cost: Cost;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

interface Cost {
  readonly n: number;
  readonly r: number;
  readonly p: number;
}

const COST: Cost = { n: 16_384, r: 8, p: 1 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;
const FILE_BYTES_MAX = 64 << 10;
const USERS_MAX = 100;
const NAME = /^[a-z][a-z0-9_-]{0,30}$/;
const LINE =
  /^([a-z][a-z0-9_-]{0,30}):(\w+):scrypt:(\d{1,6}):(\d{1,2}):(\d{1,2}):([0-9a-f]{16,64}):([0-9a-f]{64})$/;

export function parseUsers(text: string): Map<string, User> {
  const users = new Map<string, User>();
  for (const line of text.split('\n').slice(0, USERS_MAX)) {
    const [, name = '', given, n, r, p, salt = '', hash = ''] = LINE.exec(line) ?? [];
    const role = ROLES.find((known) => known === given);
    const cost = { n: Number(n), r: Number(r), p: Number(p) };
    if (role === undefined || !isBearable(cost)) continue;
    users.set(name, {
      name,
      role,
      cost,
      salt: Buffer.from(salt, 'hex'),
      hash: Buffer.from(hash, 'hex'),
    });
  }
  return users;
}

/** A file must not make a login take minutes or the memory of the guest. */
function isBearable({ n, r, p }: Cost): boolean {
  return n >= 1_024 && n <= 131_072 && (n & (n - 1)) === 0 && r >= 1 && r <= 8 && p === 1;
}

export function userLine({ name, role, cost, salt, hash }: User): string {
  return `${name}:${role}:scrypt:${cost.n}:${cost.r}:${cost.p}:${salt.toString('hex')}:${hash.toString('hex')}\n`;
}

export async function makeUser(name: string, role: UserRole, password: string): Promise<User> {
  if (!NAME.test(name)) throw new Error('that is no user name');
  const salt = randomBytes(SALT_BYTES);
  return { name, role, cost: COST, salt, hash: await hashOf(password, salt, COST) };
}

/** Takes as long for a user who does not exist. */
export async function isPassword(user: User | undefined, password: string): Promise<boolean> {
  const { salt, cost, hash } = user ?? NOBODY;
  const given = await hashOf(password, salt, cost);
  return timingSafeEqual(given, hash) && user !== undefined;
}

const NOBODY = { salt: Buffer.alloc(SALT_BYTES), cost: COST, hash: Buffer.alloc(HASH_BYTES) };

function hashOf(password: string, salt: Buffer, { n, r, p }: Cost): Promise<Buffer> {
  const options = { N: n, r, p, maxmem: 256 << 20 };
  return new Promise((resolve, reject) => {
    scrypt(password, salt, HASH_BYTES, options, (error, hash) => {
      if (error === null) resolve(hash);
      else reject(error);
    });
  });
}

/** Null: there is no such file, so there are no users yet. Throws in words. */
export async function loadUsers(path: string): Promise<Map<string, User> | null> {
  try {
    const { mode, size } = await stat(path);
    if ((mode & 0o077) !== 0) throw new Error(`${path} can be read by others: chmod 600`);
    if (size > FILE_BYTES_MAX) throw new Error(`${path} is too long`);
    return parseUsers(await readFile(path, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new Error(systemWords(error));
  }
}

export async function saveUsers(path: string, users: ReadonlyMap<string, User>): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeSafely(path, [...users.values()].map(userLine).join(''));
}

/** Whole or not at all, whenever the power goes. */
export async function writeSafely(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

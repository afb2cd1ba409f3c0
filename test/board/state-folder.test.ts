// Whose state folder it is: a version that does not know its format changes nothing in it.
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockStateFolder, STATE_FORMAT } from '../../firmware/board/state-folder.ts';
import { RoleRecordStore } from '../../watchdog/role-record-store.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('board/state-folder');

const newFolder = (): string => join(mkdtempSync(join(tmpdir(), 'state-')), 'state');
const filesOf = (folder: string) =>
  readdirSync(folder).map((name) => `${name}: ${readFileSync(join(folder, name), 'latin1')}`);

test('a new folder, and one of before there was a format, is signed', () => {
  for (const isNew of [true, false]) {
    const folder = newFolder();
    if (!isNew) new RoleRecordStore(folder).load(1_000);
    closeSync(lockStateFolder(folder));
    closeSync(lockStateFolder(folder));
    assert.is(readFileSync(join(folder, 'state-format'), 'latin1'), `${STATE_FORMAT}\n`);
    assert.is(readdirSync(folder).filter((name) => name.endsWith('.new')).length, 0);
  }
});

test('the folder of a newer version is refused in one line, and not touched', () => {
  for (const [written, words] of [
    [`${STATE_FORMAT + 1}\n`, `format ${STATE_FORMAT + 1}, this one knows ${STATE_FORMAT}`],
    ['reign 7', 'a format that cannot be read'],
  ] as const) {
    const folder = newFolder();
    mkdirSync(folder);
    writeFileSync(join(folder, 'state-format'), written);
    writeFileSync(join(folder, 'role-record.0'), 'of tomorrow');
    const before = filesOf(folder);
    assert.throws(
      () => lockStateFolder(folder),
      (error: Error) =>
        error.message.includes('of a newer version') && error.message.includes(words),
    );
    assert.equal(filesOf(folder), before);
  }
});

test.run();

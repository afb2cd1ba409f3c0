// Files as people make them, with whatever editor, on whatever system: configuration, keys, passwords.
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { loadConfig } from '../../firmware/board/config/load.ts';
import { pairingKeyOf } from '../../firmware/board/config/pairing-key.ts';
import { ConfigStore } from '../../firmware/board/config/store.ts';
import { hashOf } from '../../firmware/board/config/versions.ts';
import { pemOf, secretLineOf, textOf } from '../../firmware/host/brought-file.ts';
import { loneConfig } from '../board/lone-config.ts';
import { assert, needs, repoPath, suite } from '../harness/index.ts';

const test = suite('host/brought-file');

const crlf = (text: string) => text.replaceAll('\n', '\r\n');
/** How editors and shells write one text. */
const WAYS: Readonly<Record<string, (text: string) => Buffer>> = {
  'as on Unix': (text) => Buffer.from(text),
  'with CR LF': (text) => Buffer.from(crlf(text)),
  'with a byte order mark': (text) => Buffer.from(`\ufeff${text}`),
  'by the editor of Windows': (text) => Buffer.from(`\ufeff${crlf(text)}`),
  'by the shell of Windows': (text) => Buffer.from(`\ufeff${crlf(text)}`, 'utf16le'),
  'in UTF-16 without a mark': (text) => Buffer.from(text, 'utf16le'),
  'in UTF-16, the other way round': (text) => Buffer.from(`\ufeff${text}`, 'utf16le').swap16(),
  'with CR alone': (text) => Buffer.from(text.replaceAll('\n', '\r')),
  'with an end of file': (text) => Buffer.from(`${crlf(text)}\u001a`),
  'without a last line end': (text) => Buffer.from(text.trimEnd()),
};

test('text is text, whoever wrote it', () => {
  for (const [way, write] of Object.entries(WAYS))
    assert.is(textOf(write('a = "ü"\nb\n')).replaceAll('\r', '').trim(), 'a = "ü"\nb', way);
  assert.is(textOf(Buffer.alloc(0)), '');
  assert.is(textOf(Buffer.from('x')), 'x');
  assert.is(textOf(Buffer.from([0xff, 0xfe, 0x41])), '', 'half a letter is none');
});

test('a password is its line', () => {
  for (const [way, write] of Object.entries(WAYS))
    assert.is(secretLineOf(write('pass word\n')), 'pass word', way);
});

if (needs.command('openssl').met)
  test('a certificate and a key, in PEM however it is written, and a certificate in DER', () => {
    const folder = mkdtempSync(join(tmpdir(), 'twinstep-pem-'));
    const at = (name: string) => join(folder, name);
    const openssl = (...args: string[]) => {
      const run = spawnSync('openssl', args, { encoding: 'utf8' });
      assert.is(run.status, 0, run.stderr);
    };
    const made = ['-keyout', at('key'), '-out', at('cert'), '-subj', '/CN=broker'];
    openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      ...made,
    );
    openssl('x509', '-in', at('cert'), '-outform', 'DER', '-out', at('der'));
    const [cert, key] = [readFileSync(at('cert'), 'utf8'), readFileSync(at('key'), 'utf8')];
    const { fingerprint256 } = new X509Certificate(cert);
    for (const [way, write] of Object.entries(WAYS)) {
      const read = pemOf(write(cert));
      assert.is(new X509Certificate(read).fingerprint256, fingerprint256, way);
      createSecureContext({ ca: read, cert: read, key: pemOf(write(key)) });
    }
    assert.is(new X509Certificate(pemOf(readFileSync(at('der')))).fingerprint256, fingerprint256);
    assert.is(pemOf(Buffer.from('0123')), '0123');
  });
else test.skip('a certificate and a key', 'needs openssl (Debian package openssl)');

test('a pairing key: the bytes, hexadecimal, base64', () => {
  const key = Uint8Array.from({ length: 32 }, (_, n) => (n * 37 + 11) & 0xff);
  const hex = Buffer.from(key).toString('hex');
  const base64 = Buffer.from(key).toString('base64');
  assert.equal(pairingKeyOf(key), key);
  for (const text of [
    hex,
    hex.toUpperCase(),
    hex.replace(/..(?=.)/g, '$&:'),
    hex.replace(/.{4}(?=.)/g, '$& '),
    base64,
    Buffer.from(key).toString('base64url'),
  ])
    for (const [way, write] of Object.entries(WAYS))
      assert.equal(pairingKeyOf(write(`${text}\n`)), key, `${text} ${way}`);
  for (const [bytes, words] of [
    [new Uint8Array(31), 'has 31 bytes, not 32'],
    [new Uint8Array(33), 'has 33 bytes, not 32'],
    [Buffer.from(`${hex}0\n`), '64 hexadecimal digits'],
    [Buffer.from(hex.slice(1)), '64 hexadecimal digits'],
    [Buffer.from(`${base64.slice(0, 42)}/=`), '44 letters of base64'],
    [Buffer.from(base64.slice(4)), '44 letters of base64'],
    [new Uint8Array(0), 'has 0 bytes'],
  ] as const)
    assert.throws(() => pairingKeyOf(bytes), words);
});

test('a board takes its configuration and its key in all of them, and knows its version again', async () => {
  const hex = Buffer.alloc(32, 7).toString('hex');
  for (const [way, write] of Object.entries(WAYS)) {
    const folder = mkdtempSync(join(tmpdir(), 'twinstep-brought-'));
    writeFileSync(join(folder, 'kernel'), 'x');
    writeFileSync(join(folder, 'key'), write(`${hex}\n`), { mode: 0o600 });
    mkdirSync(join(folder, 'state'));
    const file = join(folder, 'board.toml');
    writeFileSync(file, write(loneConfig({ host: 1, name: 'press-7' })));
    const { config, pairingKey, version } = await loadConfig(file);
    assert.is(config.name, 'press-7', way);
    assert.equal(pairingKey, new Uint8Array(32).fill(7), way);
    assert.is(version.hash, hashOf(new ConfigStore(file).held().current ?? ''), way);
  }
});

test(
  '"twinstep doctor" reads a key as the board does',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'twinstep-doctor-key-'));
    const key = join(folder, 'key');
    const verdict = (bytes: Buffer) => {
      writeFileSync(key, bytes, { mode: 0o600 });
      const command = repoPath('dist/firmware/cli/twinstep.js');
      const args = [command, 'doctor', '--json', '--key', key];
      const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      const findings = JSON.parse(stdout) as { area: string; verdict: string; found: string }[];
      return findings.find(({ area }) => area === 'pairing key')!;
    };
    assert.is(verdict(WAYS['by the shell of Windows']!(`${'5a'.repeat(32)}\n`)).verdict, 'ok');
    assert.is(verdict(Buffer.alloc(31)).verdict, 'fail');
  },
  { timeoutMs: 60_000 },
);

test.run();

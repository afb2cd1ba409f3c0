// Editing the board's TOML file: comments stay, what comes out means what was wanted, or nothing comes out.
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'smol-toml';
import { unifiedDiff } from '../../../firmware/board/config/diff.ts';
import { asValue, deletePath, setValue, valuesOf } from '../../../firmware/board/config/edit.ts';
import { masked, maskedPair } from '../../../firmware/board/config/mask.ts';
import { assert, repoPath, type SeededRandom, seededRandom, suite } from '../../harness/index.ts';

const test = suite('board/config/edit');
const EXAMPLE = readFileSync(repoPath('docs/board.example.toml'), 'utf8');

function set(text: string, path: string, given: string): string {
  const edited = setValue(text, path, asValue(given) ?? '');
  if (!edited.ok) throw new Error(edited.why);
  return edited.text;
}

test('a value is replaced where it stands, its comment stays', () => {
  const text = set(EXAMPLE, 'front.gateway', 'none');
  assert.equal(
    unifiedDiff(EXAMPLE, text).filter((line) => /^[-+]/.test(line)),
    [
      '-gateway = "192.168.10.1"                     # the witness; "none": see docs/CONFIG.md first',
      '+gateway = "none"                     # the witness; "none": see docs/CONFIG.md first',
    ],
  );
});

test('a new key stands beside the comment that shows its default', () => {
  const text = set(EXAMPLE, 'guest.memory-mib', '512');
  assert.match(text, '#memory-mib = 256\nmemory-mib = 512\n');
  assert.match(set(EXAMPLE, 'board.nonsense', 'x'), /side = "a" .*\nnonsense = "x"\n/);
  assert.match(
    set(EXAMPLE, 'mqtt.servers', '["mqtts://a", "mqtts://b"]'),
    /\[mqtt\]\nservers = \[/,
  );
  assert.is(set('', 'board.name', 'x'), '[board]\nname = "x"\n');
  assert.is(set('[board]', 'board.name', 'x'), '[board]\nname = "x"\n');
});

test('a key and a table go, the comments around them stay', () => {
  const text = '[a]\n# of x\nx = 1 # one\ny = [\n  1, # first\n  2,\n]\n# of b\n[b]\nz = "#"\n';
  const without = (path: string) => {
    const edited = deletePath(text, path);
    return edited.ok ? edited.text : edited.why;
  };
  assert.is(without('a.y'), '[a]\n# of x\nx = 1 # one\n# of b\n[b]\nz = "#"\n');
  assert.is(without('a'), '# of b\n[b]\nz = "#"\n');
  assert.is(without('b'), text.slice(0, text.indexOf('[b]')));
  assert.is(without('a.q'), 'there is no a.q');
});

test('values: TOML where it is TOML, else text; what cannot be one is refused', () => {
  assert.is(asValue('7'), '7');
  assert.is(asValue('"7"'), '"7"');
  assert.is(asValue('192.168.10.2'), '"192.168.10.2"');
  assert.is(asValue('console=ttyS0 quiet'), '"console=ttyS0 quiet"');
  assert.is(asValue('["a", "b"]'), '["a", "b"]');
  assert.is(asValue('a"b\\c'), '"a\\"b\\\\c"');
  assert.is(asValue('2026-01-01'), '"2026-01-01"');
  for (const bad of ['', '"open', '[1', '{a = 1}', '1\n[x]', 'ä'])
    assert.is(asValue(bad), null, bad);
});

test('a file written in another way is refused, not spoilt', () => {
  const why = (text: string, path: string) => {
    const edited = setValue(text, path, '1');
    return edited.ok ? edited.text : edited.why;
  };
  assert.match(why('a = { x = 1 }\n', 'a.x'), 'only changed by hand');
  assert.match(why('a = 1\n', 'a.x'), 'is no table');
  assert.match(why('[a\n', 'a.x'), 'no TOML');
  assert.match(why('[a]\n', 'a.b.c'), 'is no key');
  assert.is(why('a.x = 5 # dotted\n', 'a.x'), 'a.x = 1 # dotted\n');
  assert.is(why('[a]\n"x" = 5\n', 'a.x'), '[a]\n"x" = 1\n');
});

test('random edits: exactly the wanted change, and every comment is still there', () => {
  const random = seededRandom();
  for (let round = 0; round < 300; round++) {
    let text = randomFile(random);
    for (let n = 0; n < 10; n++) {
      const before = parse(text) as Record<string, Record<string, unknown>>;
      const [table, key] = [`t${random.int(4)}`, `k${random.int(5)}`];
      const comments = text.match(/# c\d+/g) ?? [];
      if (random.chance(0.3)) {
        const edited = deletePath(text, `${table}.${key}`);
        assert.is(edited.ok, Object.hasOwn(before[table] ?? {}, key));
        if (!edited.ok) continue;
        delete before[table]![key];
        text = edited.text;
      } else {
        const value = random.pick([7, 'a # b', ['x', 'y]'], true, '']);
        const edited = setValue(text, `${table}.${key}`, JSON.stringify(value));
        assert.ok(edited.ok, JSON.stringify({ text, edited }));
        if (!edited.ok) continue;
        before[table] = { ...before[table], [key]: value };
        text = edited.text;
        assert.equal(text.match(/# c\d+/g) ?? [], comments);
      }
      assert.ok(
        isDeepStrictEqual(JSON.stringify(sorted(parse(text))), JSON.stringify(sorted(before))),
      );
      assert.is(valuesOf(text).size, Object.values(before).flatMap(Object.keys).length);
    }
  }
});

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.entries(value)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, item]) => [key, sorted(item)]);
}

function randomFile(random: SeededRandom): string {
  let comments = 0;
  const comment = () => (random.chance(0.4) ? ` # c${comments++}` : '');
  let text = random.chance(0.5) ? `# c${comments++}\n\n` : '';
  for (let t = 0; t < 4; t++) {
    if (random.chance(0.3)) continue;
    text += `[t${t}]${comment()}\n`;
    for (let k = 0; k < 5; k++) {
      if (random.chance(0.4)) continue;
      const value = random.pick([
        '1',
        '"a # b"',
        "'c'",
        '[ 1,\n  2, # in\n ]',
        '"""\nx\ny"""',
        'true',
      ]);
      text += `${random.pick(['', '  '])}k${k} ${random.pick(['=', ' = '])} ${value}${comment()}\n`;
      if (random.chance(0.2)) text += random.pick(['\n', `# c${comments++}\n`]);
    }
  }
  return random.chance(0.2) ? text.trimEnd() : text;
}

test('a diff applied to the old text gives the new one', () => {
  const random = seededRandom();
  for (let round = 0; round < 500; round++) {
    const lines = () =>
      Array.from({ length: random.int(12) }, () => random.pick(['a', 'b', 'c', '']));
    const [before, after] = [lines(), lines()].map((list) =>
      list.map((line) => `${line}\n`).join(''),
    );
    assert.is(applied(before!, unifiedDiff(before!, after!)), after);
  }
  assert.equal(unifiedDiff('a\n', 'a\n'), []);
});

/** As patch does it, and as strict. */
function applied(before: string, diff: readonly string[]): string {
  const old = before.split('\n').slice(0, -1);
  const out: string[] = [];
  let at = 0;
  for (const line of diff) {
    const head = /^@@ -(\d+),(\d+) /.exec(line);
    if (head !== null) {
      const begin = Number(head[1]) - (head[2] === '0' ? 0 : 1);
      while (at < begin) out.push(old[at++]!);
    } else if (line[0] === '+') out.push(line.slice(1));
    else {
      assert.is(old[at], line.slice(1));
      if (line[0] === ' ') out.push(old[at]!);
      at += 1;
    }
  }
  return [...out, ...old.slice(at)].map((line) => `${line}\n`).join('');
}

test('nothing secret is shown; that it is another one is', () => {
  const text =
    'x = 1\npassword = """\nhun\nter"""\n[m]\n"api-token" = "t" # mine\n# secret = "s"\npassword-file = "f"\n';
  const stars = masked(text);
  assert.not.match(stars, /hun|ter"|"t"|"s"/);
  assert.match(stars, 'password-file = "f"');
  assert.match(stars, '# mine');
  const [one, other] = maskedPair(text, text.replace('hun', 'gun'));
  assert.match(other, 'another one');
  assert.not.match(one + other, /hun|gun/);
  assert.is(masked(EXAMPLE), EXAMPLE);
});

test.run();

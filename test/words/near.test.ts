// A slip of the fingers is understood, whatever reads it: the command line, the console, the configuration, the
// control socket, the tools of package.json.
import { spawnSync } from 'node:child_process';
import { parseConfig } from '../../firmware/board/config/parse.ts';
import { type Answered, answerLine, type Controlled } from '../../firmware/board/control/verbs.ts';
import { COMMANDS } from '../../firmware/console/commands.ts';
import { meaningOf } from '../../firmware/console/grammar.ts';
import { didYouMean, nearest } from '../../firmware/words/near.ts';
import { assert, repoPath, seededRandom, suite } from '../harness/index.ts';

const test = suite('words/near');

const WORDS = ['switch-over', 'status', 'stop', 'restart', 'sync-up', 'log', 'guest'];

test('letters left out, put in, replaced, exchanged', () => {
  for (const [given, meant] of [
    ['swtich-over', 'switch-over'],
    ['switchover', 'switch-over'],
    ['Switch_Over', 'switch-over'],
    ['stauts', 'status'],
    ['sttaus', 'status'],
    ['statuss', 'status'],
    ['sotp', 'stop'],
    ['lgo', 'log'],
    ['restrat', 'restart'],
    ['gest', 'guest'],
    ['over', 'switch-over'],
  ] as const)
    assert.is(nearest(given, WORDS), meant, given);
  for (const far of ['frobnicate', 'x', 'no', 'cat', '', 'shutdown'])
    assert.is(nearest(far, WORDS), undefined, far);
  assert.is(didYouMean('gset', WORDS), '; did you mean "guest"?');
  assert.is(didYouMean('frobnicate', WORDS), '');
});

test('an exchange of neighbours is one slip, and the nearest wins', () => {
  assert.is(nearest('form', ['farm', 'from']), 'farm', 'one each: the first');
  assert.is(nearest('abdc', ['abxx', 'abcd']), 'abcd');
  assert.is(nearest('lgo', ['log']), 'log', 'of three letters one may be wrong');
  assert.is(nearest('lxx', ['log']), undefined);
});

test('any one slip in any word of four letters or more is understood', () => {
  const random = seededRandom('slips');
  const known = ['pairing-key-file', 'memory-mib', 'gateway', 'baud', 'append', 'home-assistant'];
  for (let n = 0; n < 500; n++) {
    const word = random.pick(known);
    const at = 1 + random.int(word.length - 2);
    const [head, letter, tail] = [word.slice(0, at), word[at]!, word.slice(at + 1)];
    const slip = random.pick([
      head + tail,
      `${head}q${letter}${tail}`,
      `${head}q${tail}`,
      head + (tail[0] ?? '') + letter + tail.slice(1),
    ]);
    assert.is(nearest(slip, known), word, slip);
  }
});

test('on the console', () => {
  const why = (line: string) => (meaningOf(COMMANDS, line) as { why: string }).why;
  assert.is(why('shwo status'), '"shwo" makes no sense here; did you mean "show"?');
  assert.is(why('show stauts'), '"stauts" makes no sense here; did you mean "status"?');
  assert.match(why('request swtich-over'), 'did you mean "switch-over"?');
  assert.match(why('request failover'), 'did you mean "test-failover"?');
  assert.is(why('frobnicate'), '"frobnicate" makes no sense here; ? helps');
});

test('over the control socket', () => {
  const why = (request: object) => {
    const { answer } = answerLine({} as Controlled, JSON.stringify(request)) as Answered;
    return answer.ok ? '' : answer.why;
  };
  assert.match(
    why({ do: 'swtich-over' }),
    /^"do" must be one of .*; did you mean "switch-over"\?$/,
  );
  assert.match(why({ do: 'maintenance', onn: true }), 'no field "onn"; did you mean "on"?');
  assert.match(why({ do: 'ack', code: 'PAHT-LOG' }), '; did you mean "PATH-LOG"?');
  assert.match(why({ do: {} }), /^"do" must be one of [^;]*$/);
});

test('in a configuration: a key, a table, a key of another table', () => {
  const problems = (text: string) =>
    parseConfig(text, '/').problems.map(({ text: words }) => words);
  const all = problems('[bord]\n[guest]\nkernal = "x"\ngatway = "none"\nfrobnicate = 1\n').join(
    '\n',
  );
  assert.match(all, 'unknown table "bord"; did you mean "board"?');
  assert.match(all, 'unknown key "kernal" in [guest]; did you mean "kernel"?');
  assert.match(all, 'unknown key "gatway" in [guest]; did you mean "gateway" of [front]?');
  assert.match(all, 'unknown key "frobnicate" in [guest]; known: append, ');
});

function run(script: string, ...args: string[]) {
  const path = repoPath(`dist/${script}.js`);
  const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...args], {
    encoding: 'utf8',
  });
  return { status, out: (stdout + stderr).trimEnd().split('\n') };
}

const SLOW = { timeoutMs: 180_000 };

test(
  'on a command line: one line, exit code 2',
  () => {
    for (const [args, words] of [
      [['swtich-over'], 'unknown command "swtich-over"; did you mean "switch-over"?'],
      [['guset'], 'unknown command "guset"; did you mean "guest"?'],
      [['frobnicate'], 'unknown command "frobnicate"; "twinstep help" lists them'],
      [['guest', '--kernal', 'x'], `unknown option '--kernal'; did you mean "--kernel"?`],
      [['guest', '-kernel', 'x'], `unknown option '-k'; did you mean "--kernel"?`],
      [['guest', '--memroy=5'], 'did you mean "--memory"?'],
      [['record', '--intird', 'x'], 'did you mean "--initrd"?'],
      [['replay', 'x', '--form', 'y'], 'did you mean "--from"?'],
      [['log', 'x', '--sumary'], 'did you mean "--summary"?'],
      [['board', '--confg', 'x'], 'did you mean "--config"?'],
      [['status', '--jsno'], 'did you mean "--json"?'],
      [['ack', 'path-lgo', '--socket', 'x'], 'did you mean "PATH-LOG"?'],
      [['doctor', '--gatway', 'x'], 'did you mean "--gateway"?'],
      [['link', 'eth1', '--clutser', 'x'], 'did you mean "--cluster"?'],
      [['console', '--usres', 'x'], 'did you mean "--users"?'],
      [['scada', '--kep', 'x'], 'did you mean "--keep"?'],
    ] as const) {
      const { status, out } = run('firmware/cli/twinstep', ...args);
      assert.is(status, 2, args.join(' '));
      assert.is(out.length, 1, out.join('\n'));
      assert.ok(out[0]!.includes(words), out[0]);
    }
  },
  SLOW,
);

test(
  'by the tools of package.json, before they begin anything',
  () => {
    for (const [script, args, words] of [
      ['test/twin/demo', ['--plian'], 'did you mean "--plain"?'],
      ['test/harness/main', ['--serail'], 'did you mean "--serial"?'],
      ['test/harness/main', ['^wathcdog/'], 'nothing matches; did you mean "watchdog"?'],
      ['test/bench/main', ['latncy'], 'no bench matches'],
      ['test/bench/main', ['softpcu'], 'no bench matches; did you mean "softcpu"?'],
      ['test/boards/main', ['--smok'], 'did you mean "--smoke"?'],
      ['test/boards/main', ['pwoer'], 'there is no "pwoer"; did you mean "power"?'],
      ['test/vtx/main', ['--lnux'], 'did you mean "--linux"?'],
      ['test/appliance/main', ['--no-bot'], 'did you mean "--no-boot"?'],
      ['test/guests/linux/main', ['--x'], "unknown option '--x'"],
    ] as const) {
      const { status, out } = run(script, ...args);
      assert.ok(status === 1 || status === 2, `${script} ${args.join(' ')}: ${status}`);
      assert.ok(
        out.some((line) => line.includes(words)),
        out.join('\n'),
      );
    }
  },
  SLOW,
);

test.run();

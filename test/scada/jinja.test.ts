// Our evaluator of templates and Jinja itself, on everything our templates are made of and on what they must
// not stumble over.
import { spawnSync } from 'node:child_process';
import { introduce } from '../../firmware/scada/home-assistant.ts';
import { offline, shown, unreachable } from '../../firmware/scada/plain-status.ts';
import { healthyStatus } from '../board/alarms/statuses.ts';
import { assert, suite } from '../harness/index.ts';
import { render, TemplateError } from './jinja.ts';

const test = suite('scada/jinja');
const PYTHON = '/usr/bin/python3';
const hasJinja = spawnSync(PYTHON, ['-c', 'import jinja2'], { stdio: 'ignore' }).status === 0;
test.needs({ met: hasJinja, why: 'needs Debian package python3-jinja2' });

const PROGRAM = `
import json, sys
from jinja2 import Environment, TemplateError
environment = Environment()
def answer(template, scope):
    try:
        return environment.from_string(template).render(scope)
    except (TemplateError, TypeError):
        return None
print(json.dumps([answer(*case) for case in json.load(sys.stdin)]))
`;

const TEMPLATES = [
  '{{ value_json.role }}',
  '{{ value_json.absent }}',
  '{{ value_json.absent.more }}',
  '{{ absent.more }}',
  '{{ value_json["redundant"] }} and {{ value_json[\'lagMs\'] }}',
  "{{ 'yes' if value_json.redundant else 'no' }}",
  "{{ 'yes' if value_json.redundant }}",
  "{{ 'a' if value_json.absent else 'b' if value_json.redundant else 'c' }}",
  "{{ 'online' if value_json.online and value_json.reachable else 'offline' }}",
  "{{ 'x' if not value_json.online or value_json.reachable == false else 'y' }}",
  "{{ 'x' if value_json.absent and value_json.absent.more else 'y' }}",
  "{{ value_json.role | default('none') | lower }}",
  "{{ value_json.absent | default('none') }}|{{ value_json.absent | default }}",
  "{{ (value_json.role or 'nobody') | upper }}",
  '{{ value_json.lagMs is none }} {{ value_json.absent is defined }} {{ value is not defined }}',
  '{{ value_json.generation > 4 }} {{ value_json.generation <= 4 }} {{ value_json.generation != 5 }}',
  '{{ value_json.role == "PRIMARY" }} {{ value_json.redundant == 1 }} {{ none == false }}',
  '{{ true and none }} {{ false or 0 }} {{ not 0 }} {{ "" or "x" }}',
  'plain text',
];

test('every template gives what Jinja gives', () => {
  const status = healthyStatus();
  const scopes = [
    shown(status),
    shown({ ...status, pairState: 'RUN-Solo', lagMs: null, health: { ok: false, words: [] } }),
    unreachable('it hangs'),
    offline('gone'),
    {},
    { online: false },
  ].map((value_json) => ({ value: JSON.stringify(value_json), value_json }));
  const { payload } = introduce({
    ...{ group: 'g', node: 'n', statusTopic: 't', firmware: '1', repeatMs: 10_000 },
  });
  const ours = [...JSON.stringify(payload).matchAll(/"value_template":"((?:[^"\\]|\\.)*)"/g)];
  assert.is(ours.length, 6);
  const templates = [...TEMPLATES, ...ours.map(([, text]) => JSON.parse(`"${text}"`) as string)];
  const cases = templates.flatMap((template) =>
    [...scopes, { value: 'no JSON' }].map((scope) => [template, scope] as const),
  );
  const { stdout, stderr } = spawnSync(PYTHON, ['-c', PROGRAM], { input: JSON.stringify(cases) });
  assert.is(stderr.toString(), '');
  const expected = JSON.parse(stdout.toString()) as (string | null)[];
  for (const [n, [template, scope]] of cases.entries()) {
    let given: string | null;
    try {
      given = render(template, scope);
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      given = null;
    }
    assert.is(given, expected[n], `${template} of ${JSON.stringify(scope)}`);
  }
});

test.run();
